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
        -- all that Unicode calls white space; not \v, which is the letter v before Postgres 16
        btrim(
            lower(events.email),
            E' \t\n\r\f\u000b\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a'
            '\u2028\u2029\u202f\u205f\u3000'
        ) AS email
    FROM events_staging.events
    WHERE events.month = %(month)s
)

SELECT
    users.month,
    coalesce(nullif(users.email, ''), 'unknown') AS email,
    count(*) AS event_count
FROM users
GROUP BY users.month, coalesce(nullif(users.email, ''), 'unknown')
