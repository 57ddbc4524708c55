-- Which processes the records came from. Known on the topic and in a store; lines of a log file do not tell.
SELECT
    producer_id,
    min(service_name) AS service_name,
    count(*) AS records,
    count(DISTINCT event_id) AS events,
    count(DISTINCT sequence) AS sequences,
    min(sequence) AS first_sequence,
    max(sequence) AS last_sequence,
    min(event_time) AS first,
    max(event_time) AS last
FROM events
GROUP BY producer_id
