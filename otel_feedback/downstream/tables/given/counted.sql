-- For which action each one counts: the one that it names; of a run the outermost one, of several the one that ended last.
-- Never for another tenant's, whoever names it. What is about an action that is not here is not here either.
WITH said AS MATERIALIZED (FROM feedback_latest),
-- all outcomes are read once, for the few that something is said of
actions AS MATERIALIZED (
    SELECT event_id, run_id, root_event_id, tenant_id, agent_name, action_type, event_time, status
    FROM every_outcome
    WHERE event_id IN (SELECT event_id FROM said WHERE target = 'event')
        OR run_id IN (SELECT run_id FROM said WHERE target = 'run')
),
named AS (
    SELECT f.*, a.event_id AS counts_for, a.agent_name, a.action_type, a.tenant_id AS whose, a.event_time, a.status
    FROM said AS f
    JOIN actions AS a ON f.event_id = a.event_id
    WHERE f.target = 'event' AND (f.tenant_id IS NULL OR f.tenant_id IS NOT DISTINCT FROM a.tenant_id)
),
of_runs AS (
    SELECT f.*, a.event_id AS counts_for, a.agent_name, a.action_type, a.tenant_id AS whose, a.event_time, a.status
    FROM said AS f
    JOIN actions AS a ON f.run_id = a.run_id
    WHERE f.target = 'run' AND (f.tenant_id IS NULL OR f.tenant_id IS NOT DISTINCT FROM a.tenant_id)
    QUALIFY row_number() OVER (
        PARTITION BY f.feedback_id, f.tenant_id
        ORDER BY coalesce(a.root_event_id, a.event_id) = a.event_id DESC, a.event_time DESC, a.event_id DESC
    ) = 1
)
SELECT *, CASE WHEN status <> 'pending' THEN (epoch_us("timestamp") - epoch_us(event_time)) / 1e6 END AS delay_s
FROM (FROM named UNION ALL FROM of_runs)
-- one that said first whose it is, and then did not, is one rater
QUALIFY row_number() OVER (PARTITION BY feedback_id, counts_for ORDER BY "timestamp" DESC, tenant_id NULLS LAST) = 1
