-- The same by the hour, where that goes further back than there are rows: days of before from `hours`, the others from `hot`.
CREATE OR REPLACE TEMP TABLE chosen AS
SELECT *, hour AS t, hour >= $since AS is_now
FROM (
    SELECT * EXCLUDE (day, place, tenant_id, service_name, model) FROM hours
    WHERE hour >= $before AND hour < $until AND $condition
    UNION ALL BY NAME
    $hot
)
