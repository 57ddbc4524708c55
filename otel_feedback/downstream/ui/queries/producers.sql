-- Which processes the records came from, and how many of the sequences between their first and last are not there.
SELECT
    producer_id,
    min(service_name) AS service,
    count(DISTINCT event_id) AS events,
    max(sequence) - min(sequence) + 1 - count(DISTINCT sequence) AS gaps,
    epoch_ms(min(event_time)) AS first,
    epoch_ms(max(event_time)) AS last
FROM events
GROUP BY producer_id
