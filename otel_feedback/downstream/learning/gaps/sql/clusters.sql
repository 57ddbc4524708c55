-- How much the actions of one run go together, by metric and value: the variance of sums by run, as of that of actions alone.
-- NULL where all are the same: what is left of that variance are the last digits of its sums, which say anything.
SELECT metric, item, CASE
    WHEN squares - actions * mean * mean > 1e-12 * squares
    THEN (sums - 2 * mean * crossed + mean * mean * sizes) / (squares - actions * mean * mean) END AS factor
FROM (
    SELECT metric, item, sum(actions) AS actions, sum(score) / sum(actions) AS mean, sum(squares) AS squares,
        sum(score * score) AS sums, sum(score * actions) AS crossed, sum(actions * actions) AS sizes
    FROM (
        SELECT metric, item, run, count(*) AS actions, sum(score) AS score, sum(score * score) AS squares
        FROM (SELECT metric, run, score, unnest(items) AS item FROM gap_facts)
        GROUP BY metric, item, run
    )
    GROUP BY metric, item
)
