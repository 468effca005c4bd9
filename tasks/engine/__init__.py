"""The mechanisms: plain typed functions that import no Prefect.

In the order of the data: `lake` -> `reader` (with `csv_reader`, `csv_records`, `parquet_reader`, `columns`, `batches`)
-> `validation` -> `copy` (with `prefetch`) -> `ledger`, put together for one object by `loader`; then `sql_files`
with `ddl`, `dispositions` and `builder`, and `exporter`. `settings`, `errors` and `receipts` serve all.
"""
