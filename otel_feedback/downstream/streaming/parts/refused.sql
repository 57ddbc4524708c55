INSERT INTO refused
SELECT
    JSON_ARRAY(CAST(TO_TIMESTAMP_LTZ(bucket, 0) AS STRING), '$job', verdict, tenant_id, agent_name NULL ON NULL) AS refused_key,
    TO_TIMESTAMP_LTZ(bucket, 0), '$job', verdict, tenant_id, agent_name, COUNT(*), MIN(event_time), MAX(event_time)
FROM (
    SELECT CAST(FLOOR(EXTRACT(EPOCH FROM arrived) / 3600) * 3600 AS BIGINT) AS bucket, verdict, tenant_id, agent_name, event_time
    FROM judged
) AS bucketed
WHERE verdict <> 'event'
GROUP BY bucket, verdict, tenant_id, agent_name
ON CONFLICT DO DEDUPLICATE;
