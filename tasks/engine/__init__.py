"""The engine: plain typed functions that do not import Prefect.

Data passes through the packages in this order: `lake` reads objects, `formats` parses them into rows, `warehouse`
copies the rows into Postgres, `load` combines these steps for one object, `schema` and `build` maintain the SQL tables,
and `export` writes results to the lake. `sync` copies an operational database. `backfill` plans a range of partitions.
All packages may use `settings`, `errors` and `receipts`. `load`, `build` and `export` write the `ledger`.
"""
