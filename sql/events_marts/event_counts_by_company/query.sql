-- grain: one company in the events of one file month; the counts of several months can be added
-- key: month, company
-- parameters: month (date, first day of the file month)
-- sources: events_staging.events
-- write disposition: replace partition (month)
-- rules: the load finds the company, as the contract describes; events without a company count under unknown (rejected:
--   leaving them out)
SELECT
    events.month,
    events.company,
    count(*) AS event_count
FROM events_staging.events
WHERE events.month = %(month)s
GROUP BY events.month, events.company
