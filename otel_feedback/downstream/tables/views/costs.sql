-- Who used what: tokens and cost by client, workflow, agent and model. Sums of the actions' own: nothing counts twice.
SELECT
    tenant_id,
    workflow_id,
    agent_name,
    model,
    provider,
    count(*) AS actions,
    count(DISTINCT run_id) AS runs,
    sum(own_tokens) AS tokens,
    sum(input_tokens) AS input_tokens,
    sum(cached_input_tokens) AS cached_input_tokens,
    sum(output_tokens) AS output_tokens,
    sum(own_cost) AS cost,
    count(*) FILTER (WHERE own_tokens > 0 AND own_cost IS NULL) AS actions_without_price
FROM outcomes
GROUP BY tenant_id, workflow_id, agent_name, model, provider
