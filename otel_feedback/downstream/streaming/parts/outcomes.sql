CREATE TEMPORARY TABLE records (
$columns,
    `event_time` AS COALESCE(`end_time`, `timestamp`),
    `arrived` TIMESTAMP_LTZ(3) NOT NULL METADATA FROM 'timestamp' VIRTUAL$on_topic
) WITH (
    'connector' = 'kafka',
$topic
    'properties.group.id' = 'otel-feedback-stream-$job',
$kafka
    'scan.startup.mode' = 'earliest-offset',
$bounded
    'format' = 'json',
    'json.timestamp-format.standard' = 'ISO-8601',
    'json.ignore-parse-errors' = 'true'
);

-- What a record is: an event, one that comes so late that the state of its window may be gone, or none that counts.
CREATE TEMPORARY VIEW judged AS
SELECT *, CASE
        WHEN (
            event_id <> '' AND action_type IS NOT NULL AND status IN ($statuses) AND event_time IS NOT NULL
            AND SPLIT_INDEX(COALESCE(schema_version, '1'), '.', 0) = '$major'
        ) IS NOT TRUE THEN 'no_event'
$of_others
        WHEN EXTRACT(EPOCH FROM event_time) < EXTRACT(EPOCH FROM CURRENT_TIMESTAMP) - $oldest_s THEN 'too_old'
        ELSE 'event'
    END AS verdict
FROM records;

CREATE TEMPORARY VIEW events AS
SELECT $read, event_time
FROM judged
WHERE verdict = 'event';

CREATE TEMPORARY VIEW outcomes AS
$outcomes;

-- By hour of their arrival the records that are not counted, repeats too, and why.
CREATE TEMPORARY TABLE refused (
    `refused_key` STRING NOT NULL,
    `arrived_hour` TIMESTAMP_LTZ(3),
    `job` STRING,
    `reason` STRING,
    `tenant_id` STRING,
    `agent_name` STRING,
    `records` BIGINT,
    `oldest` TIMESTAMP_LTZ(3),
    `newest` TIMESTAMP_LTZ(3),
    PRIMARY KEY (`refused_key`) NOT ENFORCED
) WITH (
    'connector' = 'upsert-kafka',
    'topic' = $refused,
$kafka
$upsert_apart
);
