-- grain: one company among the most frequent ones in a range of file months
-- key: company
-- parameters: since (date, first month), until (date, the month after the last one), top (number of rows)
-- sources: events_marts.event_counts_by_company
-- write disposition: none; read by the report
-- rules: equal counts are ordered by value, ascending by code point, so that every run and every server gives the same
--   answer (rejected: the order of the database's locale; no order)
SELECT
    company,
    sum(event_count)::bigint AS event_count
FROM events_marts.event_counts_by_company
WHERE month >= %(since)s AND month < %(until)s
GROUP BY company
ORDER BY event_count DESC, company COLLATE "C" ASC
LIMIT %(top)s
