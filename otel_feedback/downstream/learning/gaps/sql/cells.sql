-- Actions that have the same values, as one row: what slices are added up of.
SELECT
    items,
    count(*) AS actions,
    sum(loss) AS loss,
    sum(score) AS score,
    sum(score * score) AS squares,
    sum(loss * cost) AS cost,
    sum(loss * took_ms) AS took_ms
FROM gap_facts
WHERE metric = $1
GROUP BY items
