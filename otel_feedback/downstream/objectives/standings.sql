-- How each objective stands, by key: counted once by the day, of which the period, the last days and what is ahead are sums.
-- `excess` is what was bad beyond what might be: above 0 over a period the budget is used up.
WITH seen AS MATERIALIZED ($seen),
named(place, objective, kind, target, allowance, days, least) AS (VALUES $named),
counted AS MATERIALIZED ($counted),
summed AS (
    SELECT
        place, tenant_id, agent_name, action_type,
        coalesce(sum(eligible) FILTER (WHERE age < days), 0) AS eligible, coalesce(sum(n) FILTER (WHERE age < days), 0) AS n,
        coalesce(sum(bad) FILTER (WHERE age < days), 0) AS bad,
        sum(n_1h) AS n_1h, sum(bad_1h) AS bad_1h, sum(n_6h) AS n_6h, sum(bad_6h) AS bad_6h,
        coalesce(sum(n) FILTER (WHERE age = 0), 0) AS n_24h, sum(bad) FILTER (WHERE age = 0) AS bad_24h,
        coalesce(sum(n) FILTER (WHERE age < 3), 0) AS n_3d, sum(bad) FILTER (WHERE age < 3) AS bad_3d,
        list({'age': age, 'excess': bad - allowance * n}) AS by_age,
        arg_max(run_id, newest) AS run_id
    FROM counted JOIN named USING (place)
    GROUP BY place, tenant_id, agent_name, action_type
),
paced AS (
    -- a day as today; where today is too little to tell, as one of the last three
    SELECT *, row_number() OVER () AS id, CASE
        WHEN n_24h >= least THEN round(bad_24h - allowance * n_24h, 9)
        WHEN n_3d >= least THEN (bad_3d - allowance * n_3d) / 3
    END AS pace
    FROM summed JOIN named USING (place)
),
ahead AS (
    -- so many days from now, while what is older leaves the period
    SELECT id, day, round(coalesce(sum(each.excess) FILTER (WHERE each.age < days - day), 0) + day * any_value(pace), 9) AS excess
    FROM (SELECT id, days, pace, unnest(by_age) AS each FROM paced WHERE pace > 0), range($longest + 1) AS r(day)
    WHERE day <= days
    GROUP BY id, day
),
used_up AS (
    SELECT id, min(day - 1 + before / (before - excess)) AS in_days
    FROM (SELECT *, lag(excess) OVER (PARTITION BY id ORDER BY day) AS before FROM ahead)
    WHERE excess > 0 AND before <= 0
    GROUP BY id
),
judged AS (
    SELECT *, coalesce(n, 0) >= least AS is_enough, bad > round(allowance * n, 6) AS is_missed
    FROM named LEFT JOIN (SELECT * EXCLUDE (objective, kind, target, allowance, days, least) FROM paced) USING (place)
    LEFT JOIN used_up USING (id)
)
SELECT
    objective, kind, tenant_id, agent_name, action_type, target, days AS period_days,
    coalesce(n, 0)::BIGINT AS counted, coalesce(bad, 0)::BIGINT AS bad, least, n / nullif(eligible, 0) AS coverage,
    CASE WHEN is_enough THEN 1 - bad / n END AS attained,
    CASE WHEN is_enough THEN round(1 - bad / (allowance * n), 9) END AS budget_remaining,
    CASE WHEN is_enough THEN bad_1h / nullif(n_1h, 0) / allowance END AS burn_1h,
    CASE WHEN is_enough THEN bad_6h / nullif(n_6h, 0) / allowance END AS burn_6h,
    CASE WHEN is_enough THEN bad_24h / nullif(n_24h, 0) / allowance END AS burn_24h,
    CASE WHEN is_enough THEN bad_3d / nullif(n_3d, 0) / allowance END AS burn_3d,
    CASE WHEN is_enough AND NOT is_missed THEN to_timestamp($now + in_days * 86400) END AS used_up_at,
    CASE
        WHEN NOT is_enough THEN 'not enough yet'
        WHEN is_missed THEN 'missed'
        WHEN in_days IS NOT NULL THEN 'at risk'
        ELSE 'met'
    END AS state,
    run_id AS bad_run_id
FROM judged
ORDER BY place, tenant_id, agent_name, action_type
