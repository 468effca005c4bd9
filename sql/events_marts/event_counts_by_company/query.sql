-- grain: one company in the events of one file month; a range of months is a sum
-- key: month, company
-- parameters: month (date, first day of the file month)
-- sources: events_staging.events
-- write disposition: replace partition (month)
-- rules: the company is resolved when a row is loaded, see the contract; no company counts under unknown
SELECT
    events.month,
    events.company,
    count(*) AS event_count
FROM events_staging.events
WHERE events.month = %(month)s
GROUP BY events.month, events.company
