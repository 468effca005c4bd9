-- grain: one email in the events of one file month; the counts of several months can be added
-- key: month, email
-- parameters: month (date, first day of the file month)
-- sources: events_staging.events
-- write disposition: replace partition (month)
-- rules: a user is the e-mail without surrounding blanks, in lower case (rejected: the e-mail as delivered);
--   the database's locale defines lower case; use a UTF-8 locale;
--   events with a missing or blank e-mail count under unknown (rejected: leaving them out)
WITH delivered AS (
    -- One row per delivered value, so the query normalises a value once and not once per event.
    SELECT
        events.month,
        events.email,
        count(*) AS event_count
    FROM events_staging.events
    WHERE events.month = %(month)s
    GROUP BY events.month, events.email
),

users AS (
    SELECT
        delivered.month,
        delivered.event_count,
        -- Every character that Unicode calls white space. Postgres 15 would read \v as the letter v.
        btrim(
            lower(delivered.email),
            E' \t\n\r\f\u000b\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a'
            '\u2028\u2029\u202f\u205f\u3000'
        ) AS email
    FROM delivered
)

SELECT
    users.month,
    coalesce(nullif(users.email, ''), 'unknown') AS email,
    sum(users.event_count)::bigint AS event_count
FROM users
GROUP BY users.month, coalesce(nullif(users.email, ''), 'unknown')
