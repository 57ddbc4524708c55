-- Numbers of producers between two that arrived, long enough ago that it would have arrived, too. Lines of a log file have none.
WITH x AS (
    SELECT producer_id, sequence, min(epoch(event_time)) AS t, arg_max(run_id, event_time) AS run_id
    FROM events
    WHERE $of_service AND sequence IS NOT NULL AND event_time >= to_timestamp($first - $window - $recent - $compare)
    GROUP BY producer_id, sequence
),
gaps AS (
    SELECT t, run_id, sequence - lag(sequence, 1, sequence - 1) OVER (PARTITION BY producer_id ORDER BY sequence) - 1 AS gap
    FROM x
),
placed AS (
    SELECT *, unnest(generate_series(
        CAST(floor((t + $recent) / $step) AS BIGINT) * $step + $step,
        CAST(floor((t + $recent) / $step) AS BIGINT) * $step + $window,
        $step
    )) AS ended
    FROM gaps
)
SELECT
    ended, NULL AS tenant_id, NULL AS agent_name, NULL AS action_type, sum(gap) AS value, value AS judged,
    count(*) AS actions, NULL AS before, arg_max(run_id, gap) AS run_id
FROM placed
WHERE ended BETWEEN $first AND $last
GROUP BY ended
ORDER BY ended
