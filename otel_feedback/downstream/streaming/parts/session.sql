-- The job $job, for the SQL client of Flink $flink, beside whose jars there are to be:
$jars
-- State is kept for $ttl, and events older than $oldest are not counted, but in $refused_topic: a late one would find no state of its
-- window any more, and begin it anew.
SET 'pipeline.name' = 'otel-feedback $job';
SET 'execution.runtime-mode' = 'streaming';
SET 'table.local-time-zone' = 'UTC';
SET 'table.exec.state.ttl' = '$ttl_s s';
-- records of a while go on as one change: a third of the time, and far fewer records on the topic
SET 'table.exec.mini-batch.enabled' = 'true';
SET 'table.exec.mini-batch.allow-latency' = '$latency_ms ms';
SET 'table.exec.mini-batch.size' = '5000';
SET 'state.backend.type' = 'rocksdb';
SET 'execution.checkpointing.incremental' = 'true';
SET 'execution.checkpointing.interval' = '$checkpoint_ms ms';
-- and as long until the next, or a slow machine would do nothing else
SET 'execution.checkpointing.min-pause' = '$checkpoint_ms ms';
SET 'execution.checkpointing.externalized-checkpoint-retention' = 'RETAIN_ON_CANCELLATION';
$more
