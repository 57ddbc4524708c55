-- How far what is read is behind, in seconds, as it is known now: the store behind its source; and of each producer the event
-- that waits longest, as far as its own marks prove it: it was there at an earlier one, and still waited at the newest.
WITH marks AS (
    SELECT producer_id, exporter, destination, service_name, epoch("timestamp") AS t, next_sequence, pending
    FROM accounts
    WHERE $of_service AND type = 'high_water' AND "timestamp" >= to_timestamp($first - $window)
),
newest AS (
    SELECT
        producer_id, exporter, destination, max(t) AS told, arg_max(pending, t) AS waiting,
        arg_max(next_sequence - pending, t) AS first_waiting
    FROM marks
    GROUP BY producer_id, exporter, destination
),
late AS (
    SELECT
        told - min(t) AS seconds,
        format('{:,} events of {} wait for {}', waiting, coalesce(min(service_name), producer_id), exporter) AS what
    FROM newest JOIN marks USING (producer_id, exporter, destination)
    WHERE waiting > 0 AND next_sequence > first_waiting
    GROUP BY producer_id, exporter, destination, told, waiting
    UNION ALL
    SELECT
        greatest(0, $first - epoch(coalesce("until", newest))) AS seconds,
        coalesce(format('the store is {:,} records behind', behind), 'the store does not know how far its source goes') AS what
    FROM reading
    WHERE coalesce("until", newest) IS NOT NULL
)
SELECT
    $first AS ended, NULL AS tenant_id, NULL AS agent_name, NULL AS action_type, max(seconds) AS value, value AS judged,
    0 AS actions, NULL AS before, NULL AS run_id, arg_max(what, seconds) AS detail
FROM late
HAVING count(*) > 0
