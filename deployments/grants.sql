-- What two roles may do with the warehouse of `totesys`, and no more: totesys_loader runs the flows, totesys_analyst
-- reads the star. Neither owns a table, so neither can drop or alter one. Applied by `python -m deployments.grants`,
-- any number of times: what is not granted here is taken away.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'totesys_loader') THEN
        CREATE ROLE totesys_loader NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'totesys_analyst') THEN
        CREATE ROLE totesys_analyst NOLOGIN;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO totesys_loader, totesys_analyst', current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO totesys_loader', current_database());
END
$$;

REVOKE ALL ON ALL TABLES IN SCHEMA ledger, totesys_staging, totesys_core, totesys_warehouse
FROM totesys_loader, totesys_analyst;

GRANT USAGE ON SCHEMA ledger, totesys_staging, totesys_core, totesys_warehouse TO totesys_loader;

-- The ledger is told and consulted; what it was told once is not erased. What DDL was applied, its owner tells it.
GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO totesys_loader;
GRANT INSERT, UPDATE ON ledger.loads, ledger.load_attempts, ledger.rejected_rows, ledger.builds, ledger.sync_runs TO totesys_loader;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA ledger TO totesys_loader;

GRANT SELECT, INSERT, DELETE ON ALL TABLES IN SCHEMA totesys_staging TO totesys_loader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA totesys_core TO totesys_loader;

GRANT SELECT ON ALL TABLES IN SCHEMA totesys_warehouse TO totesys_loader;
GRANT INSERT, UPDATE, DELETE ON
totesys_warehouse.dim_counterparty,
totesys_warehouse.dim_currency,
totesys_warehouse.dim_design,
totesys_warehouse.dim_location,
totesys_warehouse.dim_payment_type,
totesys_warehouse.dim_staff,
totesys_warehouse.dim_transaction,
totesys_warehouse.quarantine
TO totesys_loader;
GRANT INSERT ON totesys_warehouse.dim_date TO totesys_loader;
-- History is appended and corrected; nothing goes.
GRANT INSERT, UPDATE ON
totesys_warehouse.fact_sales_order,
totesys_warehouse.fact_purchase_order,
totesys_warehouse.fact_payment
TO totesys_loader;

-- The star and nothing else: neither raw rows, rejected ones, nor those that wait.
GRANT USAGE ON SCHEMA totesys_warehouse TO totesys_analyst;
GRANT SELECT ON
totesys_warehouse.dim_counterparty,
totesys_warehouse.dim_currency,
totesys_warehouse.dim_date,
totesys_warehouse.dim_design,
totesys_warehouse.dim_location,
totesys_warehouse.dim_payment_type,
totesys_warehouse.dim_staff,
totesys_warehouse.dim_transaction,
totesys_warehouse.fact_sales_order,
totesys_warehouse.fact_sales_order_current,
totesys_warehouse.fact_purchase_order,
totesys_warehouse.fact_purchase_order_current,
totesys_warehouse.fact_payment,
totesys_warehouse.fact_payment_current
TO totesys_analyst;
