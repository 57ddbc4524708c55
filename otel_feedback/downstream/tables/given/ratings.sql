-- What was said of each action of which something was: the mean over its raters, and how many there are; and which action it is.
SELECT counts_for, any_value(whose) AS tenant_id, any_value(agent_name) AS agent_name, any_value(action_type) AS action_type,
    any_value(event_time) AS event_time, any_value(status) AS status, avg(score) AS feedback_score,
    count(*) AS feedback_count
FROM feedback_counted
GROUP BY counts_for
