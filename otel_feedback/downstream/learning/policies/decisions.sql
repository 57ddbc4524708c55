-- The choices of agents whose actions ended: who was chosen, from whom, how probably, in what context, and what came of it.
SELECT
    coalesce(run_id, event_id) AS run,
    agent_name,
    choice_candidates AS candidates,
    choice_propensity AS propensity,
    status,
    quality_score,
    cost_estimate,
    latency_ms,
    duration_ms,
    array_to_string(list_sort(
        [each.key || '=' || (each.value ->> '$')
         for each in map_entries(TRY_CAST(metadata AS MAP(VARCHAR, JSON))) if starts_with(each.key, 'choice.')]
    ), chr(31)) AS context
FROM outcomes
WHERE status <> 'pending' AND (len(choice_candidates) > 0 OR choice_propensity IS NOT NULL)
ORDER BY event_time, event_id
