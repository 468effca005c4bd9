-- grain: one country, the most frequent of a range of file months
-- key: country
-- parameters: since (date, first month), until (date, the month after the last), top (how many)
-- sources: events_marts.event_counts_by_country
-- write disposition: none; read by the report
-- rules: ties are ordered by value, ascending by code point: the same answer on every run and every engine (rejected:
--   the order of the database's locale; no order)
SELECT
    country,
    sum(event_count)::bigint AS event_count
FROM events_marts.event_counts_by_country
WHERE month >= %(since)s AND month < %(until)s
GROUP BY country
ORDER BY event_count DESC, country COLLATE "C" ASC
LIMIT %(top)s
