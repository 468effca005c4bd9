-- fail: the counts do not add up to the events of the month
WITH counted AS (
    SELECT coalesce(sum(event_count), 0) AS event_count
    FROM events_marts.event_counts_by_date
    WHERE month = %(month)s
),

staged AS (
    SELECT
        count(*) AS event_count,
        coalesce(sum(greatest(cardinality(tags), 1)), 0) AS tag_count
    FROM events_staging.events
    WHERE month = %(month)s
)

SELECT
    counted.event_count AS counted_count,
    staged.event_count AS staged_count
FROM counted
CROSS JOIN staged
WHERE counted.event_count <> staged.event_count;

-- warn: event dates are more than a month away from the file's month
SELECT
    event_date,
    event_count
FROM events_marts.event_counts_by_date
WHERE
    month = %(month)s
    AND (event_date < month - interval '1 month' OR event_date >= month + interval '2 months')
ORDER BY event_date;
