-- What each dimension has: how many values, on how many actions, and the values that have enough of them, the most
-- frequent first ($3 at most). A value that nearly all have is none: there is no elsewhere.
WITH counted AS (
    SELECT split_part(word, chr(31), 1) AS dimension, word, count(*) AS actions, count(DISTINCT run) AS runs
    FROM (SELECT run, unnest(said) AS word FROM gap_actions)
    WHERE word IS NOT NULL
    GROUP BY ALL
)
SELECT
    dimension,
    count(*) AS distinct_values,
    sum(actions) AS actions,
    coalesce(
        list(word ORDER BY actions DESC, word) FILTER (
            WHERE actions >= $1 AND runs >= $2 AND actions <= (SELECT count(*) FROM gap_actions) - $1
        ), []
    )[:$3] AS words
FROM counted
GROUP BY dimension
ORDER BY actions DESC, dimension
