-- What goes wrong, by agent, action and kind of error: failures and timeouts, with the newest as an example.
SELECT
    agent_name,
    action_type,
    error_type,
    status,
    count(*) AS times,
    count(DISTINCT run_id) AS runs,
    count(DISTINCT tenant_id) AS tenants,
    min(event_time) AS first,
    max(event_time) AS last,
    arg_max(event_id, event_time) AS example_event_id,
    arg_max(run_id, event_time) AS example_run_id,
    arg_max(error_message, event_time) AS example_message
FROM outcomes
WHERE status IN ('failure', 'timeout')
GROUP BY agent_name, action_type, error_type, status
