-- A window's key is all of window, tenant, agent and action, of which each may be NULL: no column of a key may.
CREATE TEMPORARY TABLE metrics (
    `window_key` STRING NOT NULL,
    `window_start` TIMESTAMP_LTZ(3),
    `tenant_id` STRING,
    `agent_name` STRING,
    `action_type` STRING,
    `executions` BIGINT,
    `successes` BIGINT,
    `failures` BIGINT,
    `timeouts` BIGINT,
    `cancelled` BIGINT,
    `partial` BIGINT,
    `pending` BIGINT,
    `error_rate` DOUBLE,
    `timeout_rate` DOUBLE,
    `avg_latency_ms` DOUBLE,
    `p50_latency_ms` DOUBLE,
    `p95_latency_ms` DOUBLE,
    `p99_latency_ms` DOUBLE,
    `tokens` BIGINT,
    `cost` DOUBLE,
    `avg_quality` DOUBLE,
    `quality_count` BIGINT,
    `conditions` STRING,
    PRIMARY KEY (`window_key`) NOT ENFORCED
) WITH (
    'connector' = 'upsert-kafka',
    'topic' = $sink,
$kafka
$upsert_apart
);

CREATE TEMPORARY VIEW windows AS
$windows;
