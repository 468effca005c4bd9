-- grain: one event_date, the most frequent of a range of file months
-- key: event_date
-- parameters: since (date, first month), until (date, the month after the last), top (how many)
-- sources: events_marts.event_counts_by_date
-- write disposition: none; read by the report
-- rules: ties are ordered by value, ascending by code point: the same answer on every run and every engine (rejected:
--   the order of the database's locale; no order)
SELECT
    event_date,
    sum(event_count)::bigint AS event_count
FROM events_marts.event_counts_by_date
WHERE month >= %(since)s AND month < %(until)s
GROUP BY event_date
ORDER BY event_count DESC, event_date ASC
LIMIT %(top)s
