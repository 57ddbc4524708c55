SELECT $keys, $measures
FROM $rows
WHERE $condition
GROUP BY $keys
