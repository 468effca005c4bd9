-- grain: one country among the most frequent ones in a range of file months
-- key: country
-- parameters: since (date, first month), until (date, the month after the last one), top (number of rows)
-- sources: visits_marts.visit_counts_by_country
-- write disposition: none; read by the report
-- rules: equal counts are ordered by value, ascending by code point, so that every run and every server gives the same
--   answer (rejected: the order of the database's locale; no order)
SELECT
    country,
    sum(visit_count)::bigint AS visit_count
FROM visits_marts.visit_counts_by_country
WHERE month >= %(since)s AND month < %(until)s
GROUP BY country
ORDER BY visit_count DESC, country COLLATE "C" ASC
LIMIT %(top)s
