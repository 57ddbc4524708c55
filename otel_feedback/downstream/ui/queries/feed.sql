-- The newest actions.
SELECT $columns
FROM $outcomes
WHERE $condition
ORDER BY event_time DESC, event_id
LIMIT $limit
