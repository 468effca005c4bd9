"""The steps of the pipelines, in the order of the data. Each step is a `@task`; the engine does the work.

`extract` lists what the lake holds -> `load` puts objects into staging tables -> `transform` builds tables from them ->
`check` proves that no row was lost -> `export` writes results to the lake -> `report` shows them in the Prefect UI.
`connections` reads the settings and opens what a step needs; `policy` is the one retry policy.
"""

import gc
import os

# The allocators reuse or return freed memory at once: the peak memory of a load falls by a quarter, its time by a
# tenth. polars and Arrow read these variables at their first import, which follows the import of this package.
os.environ.setdefault("_RJEM_MALLOC_CONF", "narenas:1,dirty_decay_ms:20,muzzy_decay_ms:0")
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

# pydantic would read the entry points of all installed packages to find plugins, of which Tally uses none. That takes a
# twentieth of the start of a load.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

# By default, Python searches for unused cycles of objects after 700 new objects, which takes a tenth of the start.
# 50,000 objects that wait for the search take little memory. Python frees batches and rows without the search.
gc.set_threshold(50_000, 10, 10)
