-- One slice, run by run: how many runs there are, and how much the actions of one go together; NULL as in clusters.sql.
SELECT
    count(*) AS runs,
    CASE
        WHEN sum(squares) - sum(actions) * mean * mean > 1e-12 * sum(squares)
        THEN (sum(score * score) - 2 * mean * sum(score * actions) + mean * mean * sum(actions * actions))
            / (sum(squares) - sum(actions) * mean * mean) END AS factor
FROM (
    SELECT *, sum(score) OVER () / sum(actions) OVER () AS mean
    FROM (
        SELECT run, count(*) AS actions, sum(score) AS score, sum(score * score) AS squares
        FROM gap_facts
        WHERE metric = $1 AND list_has_all(items, $2::gap_item[]) AND explained_by IS NULL
        GROUP BY run
    )
)
GROUP BY mean
