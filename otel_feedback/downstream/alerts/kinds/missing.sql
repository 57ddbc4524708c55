-- Numbers of producers between two that arrived, long enough ago that it would have arrived, too, and that nobody declared lost.
-- Lines of a log file have none.
WITH x AS (
    SELECT producer_id, sequence, min(epoch(event_time)) AS t, arg_max(run_id, event_time) AS run_id
    FROM events
    WHERE $of_service AND sequence IS NOT NULL AND event_time >= to_timestamp($first - $window - $recent - $compare)
    GROUP BY producer_id, sequence
),
gaps AS (
    SELECT
        producer_id, t, run_id, lag(sequence, 1, sequence - 1) OVER (PARTITION BY producer_id ORDER BY sequence) + 1 AS from_,
        sequence - 1 AS to_
    FROM x
    QUALIFY from_ <= to_
),
losses AS (
    SELECT DISTINCT producer_id, first_sequence, last_sequence, events, destination, reason
    FROM accounts
    WHERE type = 'loss' AND exporter = 'kafka'
),
undeclared AS (
    SELECT
        t, any_value(run_id) AS run_id,
        greatest(0, to_ - from_ + 1 - coalesce(sum(least(
            events, least(to_, last_sequence) - greatest(from_, first_sequence) + 1
        )) FILTER (WHERE events IS NOT NULL), 0)) AS gap  -- least() ignores NULL
    FROM gaps LEFT JOIN losses ON losses.producer_id = gaps.producer_id AND first_sequence <= to_ AND last_sequence >= from_
    GROUP BY gaps.producer_id, t, from_, to_
    UNION ALL
    SELECT t, run_id, 0 AS gap FROM x
),
placed AS (
    SELECT *, unnest(generate_series(
        CAST(floor((t + $recent) / $step) AS BIGINT) * $step + $step,
        CAST(floor((t + $recent) / $step) AS BIGINT) * $step + $window,
        $step
    )) AS ended
    FROM undeclared
    WHERE t + $recent + $window + $step >= $first
)
SELECT
    ended, NULL AS tenant_id, NULL AS agent_name, NULL AS action_type, sum(gap) AS value, value AS judged,
    count(*) AS actions, NULL AS before, arg_max(run_id, gap) AS run_id
FROM placed
WHERE ended BETWEEN $first AND $last
GROUP BY ended
ORDER BY ended
