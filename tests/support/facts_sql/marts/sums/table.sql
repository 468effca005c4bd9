-- sources: none
CREATE TABLE IF NOT EXISTS marts.sums (month date, name text, amount numeric, fact_count bigint);
