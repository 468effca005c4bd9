-- grain: one partition that is loaded, was tried, or is due; one row with an empty partition for a dataset without
--   partitions
-- key: (dataset, partition)
-- sources: ledger.datasets, ledger.load_history, ledger.loads, ledger.builds, ledger.exports,
--   ledger.finished_partitions
-- write disposition: none; a view
-- rules: every partition from the first known one to the newest one whose deadline has passed is due; without a known
--   partition, only the newest one. The deadline is that of tasks.contracts.expectations. A partition that a backfill
--   loaded years later is late by years
-- access: loader
CREATE OR REPLACE VIEW ledger.freshness AS
WITH attempts AS (
    SELECT
        dataset,
        partition,
        min(started_at) AS arrived_at
    FROM ledger.load_history
    GROUP BY dataset, partition
),

loads AS (
    SELECT
        dataset,
        partition,
        min(loaded_at) FILTER (WHERE replay_of IS NULL) AS first_loaded_at,
        max(loaded_at) FILTER (WHERE status = 'loaded') AS loaded_at
    FROM ledger.loads
    WHERE status <> 'lost'
    GROUP BY dataset, partition
),

e AS (
    SELECT
        flow_run_id,
        max(exported_at) AS exported_at
    FROM ledger.exports
    GROUP BY flow_run_id
),

builds AS (
    SELECT
        b.partition,
        substring(i.name FROM 9) AS dataset,
        max(b.built_at) AS built_at,
        max(e.exported_at) AS exported_at
    FROM ledger.builds AS b
    CROSS JOIN LATERAL jsonb_object_keys(b.inputs) AS i (name)
    LEFT JOIN e ON b.flow_run_id = e.flow_run_id
    WHERE i.name LIKE 'dataset %'
    GROUP BY b.partition, i.name
),

spans AS (
    SELECT
        d.dataset,
        d.partition_unit,
        min(to_date(a.partition, 'YYYY-MM-DD')) FILTER (
            WHERE a.partition ~ CASE d.partition_unit WHEN 'month' THEN '^\d{4}-\d{2}$' ELSE '^\d{4}-\d{2}-\d{2}$' END
        ) AS first_day,
        -- The newest partition that can be due contains this day. A partition that begins later is not due.
        ((now() AT TIME ZONE d.expected_timezone)::date - d.expected_days)::timestamp AS last_day
    FROM ledger.datasets AS d
    LEFT JOIN attempts AS a ON d.dataset = a.dataset
    WHERE d.partition_unit IS NOT NULL AND d.expected_days IS NOT NULL AND d.is_active AND NOT d.is_optional
    GROUP BY d.dataset
),

calendar AS (
    SELECT
        s.dataset,
        to_char(g.day, CASE s.partition_unit WHEN 'month' THEN 'YYYY-MM' ELSE 'YYYY-MM-DD' END) AS partition,
        s.first_day IS NULL AS is_unknown
    FROM spans AS s
    CROSS JOIN LATERAL generate_series(
        -- Two more periods certainly contain one that is due.
        coalesce(
            s.first_day::timestamp, date_trunc(s.partition_unit, s.last_day) - ('2 ' || s.partition_unit)::interval
        ),
        s.last_day, ('1 ' || s.partition_unit)::interval
    ) AS g (day)
),

partitions AS (
    SELECT
        dataset,
        partition,
        FALSE AS is_unknown
    FROM attempts
    UNION
    SELECT
        dataset,
        partition,
        is_unknown
    FROM calendar
    UNION
    SELECT
        dataset,
        '' AS partition,
        FALSE AS is_unknown
    FROM ledger.datasets
    WHERE partition_unit IS NULL AND expected_days IS NOT NULL AND is_active AND NOT is_optional
),

deadlines AS (
    SELECT
        p.*,
        CASE
            WHEN d.partition_unit IS NULL OR p.partition = ''
                THEN
                    (
                        ((now() AT TIME ZONE d.expected_timezone) - d.expected_at)::date + d.expected_at
                    ) AT TIME ZONE d.expected_timezone
            ELSE
                (
                    to_date(p.partition, 'YYYY-MM-DD') + ('1 ' || d.partition_unit)::interval
                    + make_interval(days => d.expected_days - 1) + d.expected_at
                ) AT TIME ZONE d.expected_timezone
        END AS expected_by
    FROM partitions AS p
    LEFT JOIN ledger.datasets AS d ON p.dataset = d.dataset AND d.is_active AND NOT d.is_optional
),

due AS (
    SELECT
        *,
        max(partition) FILTER (WHERE expected_by <= now()) OVER (PARTITION BY dataset) AS newest_due
    FROM deadlines
)

SELECT
    u.dataset,
    u.partition,
    u.expected_by,
    a.arrived_at,
    l.loaded_at,
    f.finished_at,
    greatest(b.built_at, w.built_at) AS built_at,
    greatest(b.exported_at, w.exported_at) AS exported_at,
    coalesce(u.partition = u.newest_due, FALSE) AS is_newest_due,
    CASE
        WHEN u.partition = '' AND l.loaded_at > u.expected_by - interval '1 day' THEN NULL
        WHEN u.partition = '' THEN now() - u.expected_by
        WHEN coalesce(l.first_loaded_at, now()) < u.expected_by THEN NULL
        ELSE coalesce(l.first_loaded_at, now()) - u.expected_by
    END AS late_by
FROM due AS u
LEFT JOIN attempts AS a ON u.dataset = a.dataset AND u.partition = a.partition
LEFT JOIN loads AS l ON u.dataset = l.dataset AND u.partition = l.partition
LEFT JOIN builds AS b ON u.dataset = b.dataset AND u.partition = b.partition
LEFT JOIN builds AS w ON u.dataset = w.dataset AND w.partition = '' AND u.partition <> ''
LEFT JOIN ledger.finished_partitions AS f ON u.dataset = f.dataset AND u.partition = f.partition
WHERE a.dataset IS NOT NULL OR (u.expected_by <= now() AND (NOT u.is_unknown OR u.partition = u.newest_due));

COMMENT ON VIEW ledger.freshness
IS 'When each partition was expected, and when Tally saw, loaded, built and exported it';
COMMENT ON COLUMN ledger.freshness.dataset IS 'Dataset of the partition';
COMMENT ON COLUMN ledger.freshness.partition IS 'Name of the partition; empty for a dataset without partitions';
COMMENT ON COLUMN ledger.freshness.expected_by IS
'Deadline; null if the contract declares none. Without partitions, the last deadline that has passed';
COMMENT ON COLUMN ledger.freshness.arrived_at IS 'When Tally first tried to load an object of the partition';
COMMENT ON COLUMN ledger.freshness.loaded_at
IS 'When the newest of the current loads was made; null if nothing is loaded';
COMMENT ON COLUMN ledger.freshness.built_at IS 'When a table that reads the dataset was last built for the partition';
COMMENT ON COLUMN ledger.freshness.exported_at IS
'When a run that built a table for the partition last exported a file; null if these runs exported no changed file';
COMMENT ON COLUMN ledger.freshness.finished_at IS
'When the last complete run of the partition ended, exports and report included; null without partitions';
COMMENT ON COLUMN ledger.freshness.is_newest_due IS 'Whether this is the newest partition whose deadline has passed';
COMMENT ON COLUMN ledger.freshness.late_by IS
'Time from the deadline to the first load, or to now if nothing is loaded; null if the partition is not late';
