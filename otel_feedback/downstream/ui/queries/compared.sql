-- Each agent's actions, now and in the time before.
SELECT agent_name, action_type, is_now, $measures
FROM chosen
GROUP BY agent_name, action_type, is_now
