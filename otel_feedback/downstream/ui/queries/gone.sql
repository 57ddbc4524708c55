-- What was among what is asked for until a change since, and is no more.
SELECT DISTINCT event_id
FROM past
WHERE seen > $seen AND $condition
    AND event_id NOT IN (SELECT event_id FROM hot WHERE seen > $seen AND $condition)
LIMIT $limit
