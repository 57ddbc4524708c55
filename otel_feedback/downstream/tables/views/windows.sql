-- Windows of 300 seconds of event time (opening.py puts in another number), by tenant, agent and action.
-- Executions are actions that ended; those under way are counted apart. Tokens and cost are the actions' own, so that
-- nothing is counted twice. On outcomes, not on events: a revision is no execution, and one that comes late counts
-- in the window in which its action ended.
SELECT
    TO_TIMESTAMP_LTZ(bucket, 0) AS window_start,
    tenant_id,
    agent_name,
    action_type,
    COUNT(*) FILTER (WHERE status <> 'pending') AS executions,
    COUNT(*) FILTER (WHERE status = 'success') AS successes,
    COUNT(*) FILTER (WHERE status = 'failure') AS failures,
    COUNT(*) FILTER (WHERE status = 'timeout') AS timeouts,
    COUNT(*) FILTER (WHERE status = 'cancelled') AS cancelled,
    COUNT(*) FILTER (WHERE status = 'partial') AS partial,
    COUNT(*) FILTER (WHERE status = 'pending') AS pending,
    CAST(COUNT(*) FILTER (WHERE status = 'failure') AS DOUBLE)
        / NULLIF(COUNT(*) FILTER (WHERE status <> 'pending'), 0) AS error_rate,
    CAST(COUNT(*) FILTER (WHERE status = 'timeout') AS DOUBLE)
        / NULLIF(COUNT(*) FILTER (WHERE status <> 'pending'), 0) AS timeout_rate,
    AVG(latency) AS avg_latency_ms,
    PERCENTILE(latency, 0.5) AS p50_latency_ms,
    PERCENTILE(latency, 0.95) AS p95_latency_ms,
    PERCENTILE(latency, 0.99) AS p99_latency_ms,
    SUM(own_tokens) AS tokens,
    SUM(own_cost) AS cost,
    AVG(quality_score) AS avg_quality,
    COUNT(quality_score) AS quality_count
FROM (
    SELECT
        CAST(FLOOR(EXTRACT(EPOCH FROM event_time) / 300) * 300 AS BIGINT) AS bucket,
        CASE WHEN status <> 'pending' THEN COALESCE(latency_ms, duration_ms) END AS latency,
        tenant_id, agent_name, action_type, status, own_tokens, own_cost, quality_score
    FROM outcomes
) AS bucketed
GROUP BY bucket, tenant_id, agent_name, action_type
