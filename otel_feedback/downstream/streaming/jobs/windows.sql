-- The store's view `windows`: of the records of a key the newest is its window.
EXECUTE STATEMENT SET BEGIN
INSERT INTO metrics
SELECT
    JSON_ARRAY(CAST(window_start AS STRING), tenant_id, agent_name, action_type NULL ON NULL) AS window_key, *,
    CAST(NULL AS STRING) AS conditions
FROM windows
ON CONFLICT DO DEDUPLICATE;
$refusals
END;
