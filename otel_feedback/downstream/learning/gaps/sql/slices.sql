-- What each value (first and second are the same) and each pair of values comes to, among the actions that have all of $1;
-- the row without any is all of these.
WITH cells AS (SELECT * FROM gap_cells WHERE list_has_all(items, $1::gap_item[]))
SELECT
    first,
    second,
    sum(actions)::BIGINT AS actions,
    sum(loss) AS loss,
    sum(score) AS score,
    sum(squares) AS squares,
    sum(cost) AS cost,
    sum(took_ms) AS took_ms
FROM (
    SELECT NULL AS first, NULL AS second, * EXCLUDE (items) FROM cells
    UNION ALL
    SELECT * EXCLUDE (items)
    FROM (SELECT first, unnest(items) AS second, * EXCLUDE (first) FROM (SELECT unnest(items) AS first, * FROM cells))
    WHERE first <= second
)
GROUP BY first, second
HAVING first IS NULL OR sum(actions) >= $2
