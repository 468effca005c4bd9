-- sources: none
CREATE TABLE IF NOT EXISTS marts.totals (fact_count bigint, amount numeric, name_count bigint);
