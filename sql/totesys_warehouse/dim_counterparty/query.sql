-- grain: one business partner with the registered address
-- key: counterparty_id
-- parameters: none
-- sources: totesys_core.counterparty, totesys_warehouse.dim_location
-- write disposition: merge by (counterparty_id)
-- rules: every business partner is recomputed, because an address may change without its partner (rejected: only
--   partners that this run staged);
--   a business partner without an address stays (rejected: inner join)
SELECT
    counterparty.counterparty_id,
    counterparty.counterparty_legal_name,
    dim_location.address_line_1 AS counterparty_legal_address_line_1,
    dim_location.address_line_2 AS counterparty_legal_address_line_2,
    dim_location.district AS counterparty_legal_district,
    dim_location.city AS counterparty_legal_city,
    dim_location.postal_code AS counterparty_legal_postal_code,
    dim_location.country AS counterparty_legal_country,
    dim_location.phone AS counterparty_legal_phone_number
FROM totesys_core.counterparty
LEFT JOIN totesys_warehouse.dim_location ON counterparty.legal_address_id = dim_location.location_id
