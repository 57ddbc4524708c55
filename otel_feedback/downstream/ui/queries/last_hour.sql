-- Twelve pieces of five minutes, up to the end.
SELECT
    agent_name,
    CAST(floor((t - $begin) / 300000) AS INTEGER) AS piece,
    count(*) FILTER (WHERE status <> 'pending') AS n,
    count(*) FILTER (WHERE status IN ('failure', 'timeout')) AS bad
FROM hot
WHERE t >= $begin AND t < $begin + 3600000
    AND $condition
GROUP BY agent_name, piece
