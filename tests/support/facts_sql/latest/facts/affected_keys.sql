-- sources: raw.facts, latest.facts
SELECT facts.code FROM raw.facts
WHERE facts.month = %(month)s
UNION
SELECT facts.code FROM latest.facts
WHERE facts.month = %(month)s
