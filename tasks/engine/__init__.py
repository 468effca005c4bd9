"""The mechanisms: plain typed functions that import no Prefect.

In the order of the data: `lake` -> `reader` (with `csv_records`, `columns`) -> `validation` -> `copy` -> `ledger`, put
together for one object by `loader`; then `sql_files` and `exporter`. `settings`, `errors` and `receipts` serve all.
"""
