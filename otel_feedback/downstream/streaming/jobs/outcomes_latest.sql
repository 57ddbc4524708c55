-- How each action ended: of the records of an event the newest on the topic is its highest revision.
CREATE TEMPORARY TABLE outcomes_latest (
$columns,
    PRIMARY KEY (`event_id`) NOT ENFORCED
) WITH (
    'connector' = 'upsert-kafka',
    'topic' = $sink,
$kafka
$upsert
);

EXECUTE STATEMENT SET BEGIN
INSERT INTO outcomes_latest
SELECT $names FROM outcomes;
$refusals
END;
