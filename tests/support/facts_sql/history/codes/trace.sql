-- from: raw.facts
SELECT
    facts.tableoid,
    facts.ctid,
    facts AS source_row
FROM raw.facts
WHERE
    facts.code = %(code)s
    AND facts.month >= %(valid_from)s AND (%(valid_to)s IS NULL OR facts.month < %(valid_to)s);
