-- The actions of a slice that lost most, more than those elsewhere do on average, one of each run, the newest first.
SELECT event_id, run_id
FROM gap_facts
WHERE metric = $1 AND list_has_all(items, $2::gap_item[]) AND explained_by IS NULL AND loss > $3
QUALIFY row_number() OVER (PARTITION BY run ORDER BY loss DESC, event_time DESC, event_id) = 1
ORDER BY loss DESC, event_time DESC, event_id
LIMIT $4
