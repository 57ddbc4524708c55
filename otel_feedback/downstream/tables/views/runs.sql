-- What each run came to. Its status is that of its outermost action: of several, of the one that ended last.
-- What was said of it afterwards: the mean over its actions of which something was, and over which share of them.
SELECT
    run_id,
    min(tenant_id) AS tenant_id,
    min(user_id) AS user_id,
    min(session_id) AS session_id,
    min(workflow_id) AS workflow_id,
    min(service_name) AS service_name,
    coalesce(
        arg_max(status, event_time) FILTER (WHERE coalesce(root_event_id, event_id) = event_id),
        CASE WHEN count(*) FILTER (WHERE status = 'pending') > 0 THEN 'pending' END,
        arg_max(status, event_time)
    ) AS status,
    min(coalesce(start_time, event_time)) AS first,
    max(event_time) AS last,
    epoch_ms(max(event_time)) - epoch_ms(min(coalesce(start_time, event_time))) AS duration_ms,
    count(*) AS actions,
    count(DISTINCT agent_name) AS agents,
    count(*) FILTER (WHERE status = 'failure') AS failures,
    count(*) FILTER (WHERE status = 'timeout') AS timeouts,
    count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
    count(*) FILTER (WHERE status = 'pending') AS pending,
    sum(own_tokens) AS tokens,
    sum(own_cost) AS cost,
    avg(quality_score) AS avg_quality,
    avg(feedback_score) AS feedback_score,
    CAST(sum(feedback_count) AS BIGINT) AS feedback_count,
    CAST(count(*) FILTER (WHERE feedback_count > 0 AND status <> 'pending') AS DOUBLE)
        / nullif(count(*) FILTER (WHERE status <> 'pending'), 0) AS feedback_coverage
FROM outcomes
GROUP BY run_id
