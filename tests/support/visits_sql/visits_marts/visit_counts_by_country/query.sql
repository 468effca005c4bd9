-- grain: one country in the visits of one file month; the counts of several months can be added
-- key: month, country
-- parameters: month (date, first day of the file month)
-- sources: visits_staging.visits
-- write disposition: replace partition (month)
-- rules: visits with a missing or empty country count under unknown (rejected: leaving them out)
SELECT
    visits.month,
    coalesce(nullif(visits.country, ''), 'unknown') AS country,
    count(*) AS visit_count
FROM visits_staging.visits
WHERE visits.month = %(month)s
GROUP BY visits.month, coalesce(nullif(visits.country, ''), 'unknown')
