"""The mechanisms: plain typed functions that import no Prefect.

In the order of the data: `lake` -> `reader` (with `csv_reader`, `json_reader`, `parquet_reader`, `columns`, `batches`,
`string_columns`) -> `rows` -> `copy` (with `prefetch`) -> `ledger`, put together for one object by `loader`; `native` does what
`csv_records` and `rows` ask for. Then `sql_files` with `ddl`, `dispositions` and `builder`, and `exporter`. `settings`,
`errors` and `receipts` serve all.
"""
