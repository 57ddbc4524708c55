-- Agents that are expected at a moment: seen in the same window of each of the days before, or listed; and how much they did.
-- On the records that are in one of these windows, each event once: whether one is there does not hang on its revision.
WITH records AS (
    SELECT event_id, epoch(event_time) AS time, tenant_id, agent_name, action_type, run_id, revision
    FROM events
    WHERE $where AND event_time >= to_timestamp($first - $window - $days * 86400) AND event_time < to_timestamp($last)
        AND (epoch(event_time) - ($first - $window - $days * 86400)) % 86400 < $window + $last - $first
),
x AS (
    SELECT CAST(floor(time / $step) AS BIGINT) * $step AS t, $keys, count(*) AS n, arg_max(run_id, time) AS run_id
    FROM (SELECT * FROM records QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY revision DESC) = 1)
    GROUP BY ALL
),
placed AS (
    SELECT ended, day, tenant_id, agent_name, action_type, n, t, run_id
    FROM (
        SELECT *, unnest(generate_series(t + $step + day * 86400, t + $window + day * 86400, $step)) AS ended
        FROM x, (SELECT unnest(generate_series(0, $days)) AS day)
    )
    WHERE ended BETWEEN $first AND $last
),
listed AS (
    SELECT unnest(generate_series($first, $last, $step)) AS ended, -1 AS day, NULL::VARCHAR AS tenant_id, agent_name,
        NULL::VARCHAR AS action_type, 0 AS n, 0 AS t, NULL::VARCHAR AS run_id
    FROM (SELECT unnest($listed) AS agent_name)
)
SELECT
    ended, tenant_id, agent_name, action_type, coalesce(sum(n) FILTER (WHERE day = 0), 0) AS value, value AS judged,
    value AS actions, sum(n) FILTER (WHERE day > 0) / $days AS before, arg_max(run_id, t) AS run_id
FROM (FROM placed UNION ALL FROM listed)
WHERE agent_name IS NOT NULL
GROUP BY ended, tenant_id, agent_name, action_type
HAVING count(DISTINCT day) FILTER (WHERE day > 0) = $days OR bool_or(day = -1)
ORDER BY ended
