SELECT agent_name, $measures
FROM chosen
WHERE is_now
GROUP BY agent_name
