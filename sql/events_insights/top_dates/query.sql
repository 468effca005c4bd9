-- grain: one event_date among the most frequent ones in a range of file months
-- key: event_date
-- parameters: since (date, first month), until (date, the month after the last one), top (number of rows)
-- sources: events_marts.event_counts_by_date
-- write disposition: none; read by the report
-- rules: equal counts are ordered by date, so that every run gives the same answer (rejected: no order)
SELECT
    event_date,
    sum(event_count)::bigint AS event_count
FROM events_marts.event_counts_by_date
WHERE month >= %(since)s AND month < %(until)s
GROUP BY event_date
ORDER BY event_count DESC, event_date ASC
LIMIT %(top)s
