"""The mechanisms: plain typed functions that import no Prefect.

In the order of the data: `lake` -> `reader` (with `csv_reader`, `csv_records`, `parquet_reader`, `columns`, `batches`)
-> `validation` -> `copy` (with `prefetch`) -> `ledger`, put together for one object by `loader`; then `sql_files`
with `ddl`, `dispositions` and `builder`, and `exporter`. `settings`, `errors` and `receipts` serve all.
"""

import os

# One pool of memory for all of polars' threads: a tenth less of it at the peak of a load, and a tenth of its time.
# The allocator reads this when polars is imported.
os.environ.setdefault("_RJEM_MALLOC_CONF", "narenas:1")
