-- What has come since a change, the newest of it, and how much that is.
SELECT $columns, count(*) OVER () AS changed
FROM hot
WHERE seen > $seen AND $condition
ORDER BY event_time DESC, event_id
LIMIT $limit
