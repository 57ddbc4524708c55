-- Each decision of a selector, once: by what, of whom, who, how probably; and, once it ended, what came of it.
SELECT
    $name AS policy,
    choice_policy AS version,
    $candidates AS candidates,
    agent_name AS agent,
    choice_propensity AS propensity,
    event_time,
    epoch_us(event_time) // 1000 AS t,
    status,
    CASE WHEN status <> 'pending' THEN quality_score END AS quality,
    CASE WHEN status <> 'pending' THEN $feedback END AS feedback,
    CASE WHEN status <> 'pending' THEN cost_estimate END AS cost,
    CASE WHEN status <> 'pending' THEN coalesce(latency_ms, duration_ms) END AS took,
    CASE WHEN status <> 'pending' THEN $worth END AS reward
FROM outcomes
WHERE choice_policy IS NOT NULL
