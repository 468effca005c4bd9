-- grain: one design of a bag that was staged
-- sources: totesys_staging.design
SELECT design_id
FROM totesys_staging.design
