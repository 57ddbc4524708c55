-- The actions that a request is about, and those of the time before it that they are compared with.
CREATE OR REPLACE TEMP TABLE chosen AS
SELECT t, agent_name, action_type, status, own_tokens, own_cost, quality_score, took, t >= $since AS is_now
FROM $rows
WHERE t >= $before AND t < $until AND $condition
