-- The windows, in place of the job of that name, and which of the default rules' own conditions hold in them: of what a rule
-- says of the time before, `otel-feedback alerts run --from` knows.
EXECUTE STATEMENT SET BEGIN
INSERT INTO metrics
SELECT
    JSON_ARRAY(CAST(window_start AS STRING), tenant_id, agent_name, action_type NULL ON NULL) AS window_key, *,
    CONCAT_WS(
        ',',
        $conditions
    ) AS conditions
FROM windows
ON CONFLICT DO DEDUPLICATE;
$refusals
END;
