-- grain: one country among the most frequent ones in a range of file months
-- key: country
-- parameters: since (date, first month), until (date, the month after the last one), top (number of rows)
-- sources: events_marts.event_counts_by_country
-- write disposition: none; read by the report
-- rules: equal counts are ordered by value, ascending by code point, so that every run and every server gives the same
--   answer (rejected: the order of the database's locale; no order)
SELECT
    country,
    sum(event_count)::bigint AS event_count
FROM events_marts.event_counts_by_country
WHERE month >= %(since)s AND month < %(until)s
GROUP BY country
ORDER BY event_count DESC, country COLLATE "C" ASC
LIMIT %(top)s
