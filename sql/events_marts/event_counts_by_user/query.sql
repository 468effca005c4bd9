-- grain: one email in the events of one file month; a range of months is a sum
-- key: month, email
-- parameters: month (date, first day of the file month)
-- sources: events_staging.events
-- write disposition: replace partition (month)
-- rules: a user is the e-mail, trimmed, lower case (rejected: as delivered); lower case is that of the database's
--   locale, which should be UTF-8; a missing or blank e-mail counts under unknown (rejected: leaving it out)
WITH users AS (
    SELECT
        events.month,
        btrim(lower(events.email), E' \t\n\r\f\v\u00a0\u3000') AS email
    FROM events_staging.events
    WHERE events.month = %(month)s
)

SELECT
    users.month,
    coalesce(nullif(users.email, ''), 'unknown') AS email,
    count(*) AS event_count
FROM users
GROUP BY users.month, coalesce(nullif(users.email, ''), 'unknown')
