-- grain: one email, the most frequent of a range of file months
-- key: email
-- parameters: since (date, first month), until (date, the month after the last), top (how many)
-- sources: events_marts.event_counts_by_user
-- write disposition: none; read by the report
-- rules: ties are ordered by value, ascending by code point: the same answer on every run and every engine (rejected:
--   the order of the database's locale; no order)
SELECT
    email,
    sum(event_count)::bigint AS event_count
FROM events_marts.event_counts_by_user
WHERE month >= %(since)s AND month < %(until)s
GROUP BY email
ORDER BY event_count DESC, email COLLATE "C" ASC
LIMIT %(top)s
