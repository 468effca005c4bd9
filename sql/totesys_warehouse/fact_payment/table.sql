-- grain: one version of a payment
-- key: payment_id, last_updated_date, last_updated_time
-- sources: totesys_warehouse.dim_date, totesys_warehouse.dim_transaction, totesys_warehouse.dim_counterparty,
--   totesys_warehouse.dim_currency, totesys_warehouse.dim_payment_type
-- write disposition: append, change all but (deleted_at), which the search for deleted rows sets
CREATE TABLE IF NOT EXISTS totesys_warehouse.fact_payment (
    payment_record_id bigint GENERATED ALWAYS AS IDENTITY,
    payment_id integer NOT NULL,
    created_date date NOT NULL,
    created_time time(3) NOT NULL,
    last_updated_date date NOT NULL,
    last_updated_time time(3) NOT NULL,
    transaction_id integer NOT NULL,
    counterparty_id integer NOT NULL,
    payment_amount numeric(10, 2) NOT NULL,
    currency_id integer NOT NULL,
    payment_type_id integer NOT NULL,
    paid boolean NOT NULL,
    payment_date date,
    deleted_at timestamptz,
    load_id bigint NOT NULL,
    CONSTRAINT fact_payment_payment_record_id_pk PRIMARY KEY (payment_record_id),
    CONSTRAINT fact_payment_payment_id_last_updated_date_last_updated_time_uk
    UNIQUE (payment_id, last_updated_date, last_updated_time),
    CONSTRAINT fact_payment_created_date_fk FOREIGN KEY (created_date)
    REFERENCES totesys_warehouse.dim_date (date_id),
    CONSTRAINT fact_payment_last_updated_date_fk FOREIGN KEY (last_updated_date)
    REFERENCES totesys_warehouse.dim_date (date_id),
    CONSTRAINT fact_payment_transaction_id_fk FOREIGN KEY (transaction_id)
    REFERENCES totesys_warehouse.dim_transaction (transaction_id),
    CONSTRAINT fact_payment_counterparty_id_fk FOREIGN KEY (counterparty_id)
    REFERENCES totesys_warehouse.dim_counterparty (counterparty_id),
    CONSTRAINT fact_payment_currency_id_fk FOREIGN KEY (currency_id)
    REFERENCES totesys_warehouse.dim_currency (currency_id),
    CONSTRAINT fact_payment_payment_type_id_fk FOREIGN KEY (payment_type_id)
    REFERENCES totesys_warehouse.dim_payment_type (payment_type_id),
    CONSTRAINT fact_payment_payment_date_fk FOREIGN KEY (payment_date)
    REFERENCES totesys_warehouse.dim_date (date_id)
);

COMMENT ON TABLE totesys_warehouse.fact_payment IS 'Every version of every payment';
COMMENT ON COLUMN totesys_warehouse.fact_payment.payment_record_id IS 'Key of the version';
COMMENT ON COLUMN totesys_warehouse.fact_payment.payment_id IS 'Identifier of the payment in the source';
COMMENT ON COLUMN totesys_warehouse.fact_payment.created_date IS 'Date when the source created the row';
COMMENT ON COLUMN totesys_warehouse.fact_payment.created_time
IS 'Time when the source created the row, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.fact_payment.last_updated_date IS 'Date of the change that made this version';
COMMENT ON COLUMN totesys_warehouse.fact_payment.last_updated_time
IS 'Time of the change that made this version, by the source''s clock';
COMMENT ON COLUMN totesys_warehouse.fact_payment.transaction_id IS 'Transaction that is paid';
COMMENT ON COLUMN totesys_warehouse.fact_payment.counterparty_id IS 'Business partner who pays or is paid';
COMMENT ON COLUMN totesys_warehouse.fact_payment.payment_amount IS 'Amount in the currency';
COMMENT ON COLUMN totesys_warehouse.fact_payment.currency_id IS 'Currency of the amount';
COMMENT ON COLUMN totesys_warehouse.fact_payment.payment_type_id IS 'Kind of payment';
COMMENT ON COLUMN totesys_warehouse.fact_payment.paid IS 'Whether the payment was made';
COMMENT ON COLUMN totesys_warehouse.fact_payment.payment_date IS 'Date of the payment; null if there is none yet';
COMMENT ON COLUMN totesys_warehouse.fact_payment.deleted_at
IS 'When this version was found to be missing from the source; null if it was not';
COMMENT ON COLUMN totesys_warehouse.fact_payment.load_id
IS 'Load that brought this version last; the version with the latest load is current; see ledger.loads';
