"""The steps of the pipelines, in the order of the data: what holds a `@task`, and nothing that does the work itself.

`extract` lists what the lake holds -> `load` puts objects into staging tables -> `transform` builds tables from them ->
`check` proves that nothing was lost -> `export` writes results to the lake -> `report` shows them in the Prefect UI.
`connections` reads the settings and opens what a step needs; `policy` is the one retry policy.
"""
