-- Windows, with what was said of their actions afterwards: the mean over the actions of which something was said, each
-- counted once, however many rated it; and of which share of those that ended something was.
SELECT w.*, r.feedback_score, coalesce(r.feedback_count, 0) AS feedback_count,
    CAST(coalesce(r.rated, 0) AS DOUBLE) / nullif(w.executions, 0) AS feedback_coverage
FROM windows_alone AS w
LEFT JOIN (
    SELECT to_timestamp(floor(extract(epoch FROM event_time) / 300) * 300) AS window_start, tenant_id, agent_name,
        action_type, avg(feedback_score) AS feedback_score, CAST(sum(feedback_count) AS BIGINT) AS feedback_count,
        count(*) FILTER (WHERE status <> 'pending') AS rated
    FROM ratings
    GROUP BY ALL
) AS r ON r.window_start = w.window_start AND r.tenant_id IS NOT DISTINCT FROM w.tenant_id
    AND r.agent_name IS NOT DISTINCT FROM w.agent_name AND r.action_type = w.action_type
