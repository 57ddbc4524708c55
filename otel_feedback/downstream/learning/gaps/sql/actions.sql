-- The actions that ended, once each, with all that can be said of them, as `dimension` chr(31) `value`.
-- Who called an action off says nothing of how good it was: cancelled ones are left out, as from objectives.
-- Of metadata what is one value; what was said (content.…), and what this package notes itself, are no property of an action.
SELECT
    event_id,
    run_id,
    hash(coalesce(run_id, event_id)) AS run,
    event_time,
    CASE WHEN status IN ('failure', 'timeout') THEN 1.0 ELSE 0.0 END AS failed,
    quality_score AS quality,
    own_cost AS cost,
    coalesce(latency_ms, duration_ms) AS took_ms,
    list_concat(
        ['agent' || chr(31) || agent_name, 'action' || chr(31) || action_type, 'tool' || chr(31) || tool_name,
         'model' || chr(31) || model, 'tenant' || chr(31) || tenant_id,
         'variant' || chr(31) || experiment || ' ' || variant],
        ['tag' || chr(31) || tag for tag in list_distinct(tags)],
        ['metadata.' || each.key || chr(31) || (each.value ->> '$')
         for each in map_entries(TRY_CAST(metadata AS MAP(VARCHAR, JSON)))
         if json_type(each.value) NOT IN ('ARRAY', 'OBJECT', 'NULL')
            AND NOT regexp_matches(each.key, '^(content|otel_feedback)[.]|^(experiment[.]exposure|price_source|price_version|status_reason)$')]
    ) AS said
FROM outcomes
WHERE status NOT IN ('pending', 'cancelled')
