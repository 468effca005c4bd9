-- fail: the counts do not add up to the visits of the month
WITH counted AS (
    SELECT coalesce(sum(visit_count), 0) AS visit_count
    FROM visits_marts.visit_counts_by_country
    WHERE month = %(month)s
),

staged AS (
    SELECT count(*) AS visit_count
    FROM visits_staging.visits
    WHERE month = %(month)s
)

SELECT
    counted.visit_count AS counted_count,
    staged.visit_count AS staged_count
FROM counted
CROSS JOIN staged
WHERE counted.visit_count <> staged.visit_count;
