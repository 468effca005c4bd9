-- from: events_staging.events
SELECT
    events.tableoid,
    events.ctid,
    events AS source_row
FROM events_staging.events
WHERE
    events.month = %(month)s
    AND coalesce(
        nullif(
            btrim(
                lower(events.email),
                E' \t\n\r\f\u000b\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a'
                '\u2028\u2029\u202f\u205f\u3000'
            ),
            ''
        ),
        'unknown'
    ) = %(email)s;
