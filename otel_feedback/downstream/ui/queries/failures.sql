SELECT
    agent_name AS agent,
    action_type AS action,
    error_type,
    status,
    count(*) AS times,
    count(DISTINCT run_id) AS runs,
    count(DISTINCT tenant_id) AS tenants,
    (epoch_us(min(event_time)) // 1000) AS first,
    (epoch_us(max(event_time)) // 1000) AS last,
    arg_max(run_id, event_time) AS example_run,
    arg_max(event_id, event_time) AS example_event,
    left(arg_max(error_message, event_time), 500) AS message
FROM $outcomes
WHERE status IN ('failure', 'timeout') AND $condition
GROUP BY agent_name, action_type, error_type, status
ORDER BY times DESC, last DESC
LIMIT 1000
