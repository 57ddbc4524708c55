-- Errors, latency, cost, quality: a value for each key and each window, and what was usual in the windows before it.
-- A window that is longer than a step overlaps with others: an action is in each that it belongs to. A row is an action, or the
-- windowed figures of five minutes, that of a stream.
WITH x AS (
    SELECT epoch($time) AS t, $keys, $columns
    FROM $relation
    WHERE $where
        AND $time >= to_timestamp($first - 2 * $window - $recent - $compare)
        AND $time < to_timestamp($last)
),
placed AS (
    SELECT
        *, unnest(generate_series(
            CAST(floor(t / $step) AS BIGINT) * $step + $step,
            CAST(floor(t / $step) AS BIGINT) * $step + $window,
            $step
        )) AS ended
    FROM x
    WHERE $condition
),
windowed AS (
    SELECT
        ended, tenant_id, agent_name, action_type, $actions AS actions, $value AS value, $judged AS judged, $run_id AS run_id
    FROM placed
    WHERE ended <= $last
    GROUP BY ended, tenant_id, agent_name, action_type
),
compared AS (
    SELECT *, CASE
        WHEN count(*) OVER usual >= $windows_before AND max(ended) OVER usual - min(ended) OVER usual >= $window * ($windows_before - 1)
        THEN $usual
    END AS before
    FROM windowed
    WINDOW usual AS (
        PARTITION BY tenant_id, agent_name, action_type
        ORDER BY ended
        RANGE BETWEEN $window + $recent + $compare PRECEDING AND $window + $recent PRECEDING
    )
)
SELECT * FROM compared
WHERE ended >= $first AND actions >= $min_count
ORDER BY ended
