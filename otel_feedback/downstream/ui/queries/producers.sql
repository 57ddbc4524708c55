-- Which processes the records came from, and how many of the sequences between their first and last are not there.
SELECT
    producer_id,
    min(service_name) AS service,
    count(DISTINCT event_id) AS events,
    max(sequence) - min(sequence) + 1 - count(DISTINCT sequence) AS gaps,
    (epoch_us(min(event_time)) // 1000) AS first,
    (epoch_us(max(event_time)) // 1000) AS last
FROM events
GROUP BY producer_id
