-- grain: one design to be decided again
-- sources: totesys_staging.design
SELECT design_id
FROM totesys_staging.design
