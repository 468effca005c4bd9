-- question: What is the state of each dataset?
SELECT
    dataset,
    newest_partition,
    partitions_loaded,
    partitions_missing,
    rows_unresolved,
    last_success_at
FROM ledger.dataset_status
ORDER BY dataset;

-- question: Which loads failed in the last seven days, and why?
SELECT
    started_at,
    dataset,
    partition,
    source_uri,
    error_class,
    error_message
FROM ledger.load_history
WHERE status IN ('failed', 'died') AND started_at > now() - interval '7 days'
ORDER BY started_at DESC;

-- question: Which partitions are late?
SELECT
    dataset,
    partition,
    expected_by,
    late_by
FROM ledger.freshness
WHERE late_by IS NOT NULL AND loaded_at IS NULL
ORDER BY late_by DESC;
