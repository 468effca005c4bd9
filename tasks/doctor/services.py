"""Examine the warehouse, the buckets and the sources with the settings of this process."""

from collections.abc import Callable, Iterator
from functools import partial

from tasks.connections import (
    dataset_buckets,
    lake_settings,
    open_source,
    run_settings,
    source_settings,
    value_of,
    warehouse_settings,
)
from tasks.contracts.catalog import contracts, settings, sources
from tasks.contracts.source import Source
from tasks.engine.build.sql_files import ROOT, SqlTable, tables_of
from tasks.engine.doctor.bucket import BUCKET_CHECKS, REACHABLE, VERSIONS, Bucket
from tasks.engine.doctor.built_rows import BUILT_CHECKS
from tasks.engine.doctor.clocks import RemoteClock, clock_check, postgres_clock, s3_clock
from tasks.engine.doctor.housekeeping import housekeeping_checks
from tasks.engine.doctor.ledger_state import LEDGER_CHECKS, LedgerState
from tasks.engine.doctor.outcomes import Check, Finding, Result, all_skipped, examine, guarded, ok, problem, skipped
from tasks.engine.doctor.role_rights import RIGHT_CHECKS
from tasks.engine.doctor.schema_state import SCHEMA_CHECKS, SchemaState
from tasks.engine.doctor.server_settings import SETTING_CHECKS
from tasks.engine.doctor.warehouse_server import SERVER_CHECKS, Warehouse
from tasks.engine.errors import SettingsError, TallyError
from tasks.engine.lake.client import Lake
from tasks.engine.lake.setup import STORE_PREFIX
from tasks.engine.lake_hints import LAKE_BUCKET
from tasks.engine.schema.rights import pipelines
from tasks.engine.settings import RunSettings
from tasks.engine.warehouse.tables import connect, has_table

WAREHOUSE, LEDGER, TABLES, CLOCKS, SETTINGS = "Warehouse", "Ledger", "Tables", "Clocks", "Settings"


def examine_services() -> list[Result]:
    """Check everything that this process reaches without the Prefect API, apart from the blocks."""
    return [
        *examine(SETTINGS, (SETTINGS_CHECK,), None),
        *guarded(WAREHOUSE, examine_warehouse),
        *guarded("Buckets", examine_buckets),
        *guarded("Sources", examine_sources),
    ]


def check_settings(_: None) -> Iterator[Finding]:
    """Every variable of the environment that Tally knows has a valid value, and none is misspelt."""
    readers: list[Callable[[], object]] = [run_settings]
    readers += [partial(value_of, setting) for setting in settings().values()]
    errors: list[str] = []
    for read in readers:
        try:
            read()
        except SettingsError as error:
            errors.append(str(error))
    for text in dict.fromkeys(errors):
        yield problem(text, "valid settings", "Correct the variable or unset it")
    if not errors:
        yield ok("the variables of the environment are valid")


SETTINGS_CHECK = Check("variables", check_settings)
_ROW_CHECKS = (*LEDGER_CHECKS, *BUILT_CHECKS)


def examine_warehouse() -> list[Result]:
    """Check the server, the rights, the tables, the ledger and the clock of the warehouse."""
    schemas = [schema for each in pipelines().values() for schema in each.schemas]
    known = list(contracts().values())
    owned = list(dict.fromkeys(["ledger", *(contract.schema for contract in known), *schemas]))
    checks = (*SERVER_CHECKS, *RIGHT_CHECKS, *SETTING_CHECKS, *housekeeping_checks(owned))
    try:
        found = warehouse_settings()
        with connect(found, "tally doctor", is_written=False) as connection:
            warehouse = Warehouse(connection, found)
            reached = Result(WAREHOUSE, "reachable", ok(f"the warehouse of {found.origin} answers"))
            state = SchemaState(warehouse, known, list(dict.fromkeys(schemas)), ROOT)
            results = [reached, *examine(WAREHOUSE, checks, warehouse), *examine(TABLES, SCHEMA_CHECKS, state)]
            if has_table(connection, "ledger.loads"):
                ledger = LedgerState(warehouse, known, built_tables())
                results += examine(LEDGER, _ROW_CHECKS, ledger)
            else:
                results += all_skipped(LEDGER, _ROW_CHECKS, "the ledger does not exist yet: the first run creates it")
            return results + examine(CLOCKS, (clock_check(RemoteClock("Postgres", postgres_clock(connection))),), None)
    except TallyError as error:
        step = "Start the server, or correct WAREHOUSE_DSN or block `warehouse`. After a change: make deploy"
        return [
            Result(WAREHOUSE, "reachable", problem(str(error), "a warehouse that answers", step)),
            *all_skipped(WAREHOUSE, checks, "the warehouse cannot be used"),
            *all_skipped(TABLES, SCHEMA_CHECKS, "the warehouse cannot be used"),
            *all_skipped(LEDGER, _ROW_CHECKS, "the warehouse cannot be used"),
        ]


def built_tables() -> dict[str, SqlTable]:
    """All tables that a build fills, by name. The query of a report has no table."""
    schemas = sorted({schema for each in pipelines().values() for schema in each.schemas})
    return {table.name: table for schema in schemas for table in tables_of(schema) if table.is_built}


def examine_buckets() -> list[Result]:
    """Check the lake, the buckets of each source that has a login, and other buckets with objects of datasets."""
    results = _examine_bucket("Lake", None, LAKE_BUCKET, _export_prefix())
    for source in sources().values():
        for setting in () if _reason_without_login(source) else (source.csv_bucket, source.parquet_bucket):
            results += _examine_bucket(f"Bucket {setting.variable}", value_of(setting), setting.variable, STORE_PREFIX)
    for variable, bucket in sorted(dataset_buckets().items()):
        with Lake(lake_settings(bucket)) as lake:
            found = Bucket(lake, variable, "", lake_settings(bucket).endpoint_url)
            results += examine(f"Bucket {variable}", (REACHABLE,), found)  # runs only read there
    return results


def _export_prefix() -> str:
    try:
        return run_settings().export_prefix
    except SettingsError:  # the check of the settings reports it
        return RunSettings().export_prefix


def _examine_bucket(area: str, name: str | None, named_by: str, prefix: str) -> list[Result]:
    try:
        found = lake_settings(name)
    except TallyError as error:
        step = f"Set {named_by} and the AWS variables, then: make deploy"
        return [
            Result(area, REACHABLE.name, problem(str(error), "settings of a bucket", step)),
            *all_skipped(area, BUCKET_CHECKS, "no bucket is set"),
        ]
    with Lake(found) as lake:
        bucket = Bucket(lake, named_by, prefix, found.endpoint_url)
        reached = examine(area, (REACHABLE,), bucket)
        if reached[0].finding.outcome != "ok":
            return [*reached, *all_skipped(area, BUCKET_CHECKS, "the bucket does not answer")]
        checks = (*BUCKET_CHECKS, VERSIONS) if name is None else BUCKET_CHECKS
        clocks = (clock_check(RemoteClock("S3", s3_clock(lake))),) if name is None else ()
        return [*reached, *examine(area, checks, bucket), *examine(CLOCKS, clocks, None)]


def examine_sources() -> list[Result]:
    """Check that each operational database answers, and has the tables that a sync extracts."""
    return [
        result
        for source in sources().values()
        for result in examine(f"Source {source.name}", (Check("reachable", check_source),), source)
    ]


def check_source(source: Source) -> Iterator[Finding]:
    """The login works, and the role may read the tables."""
    if reason := _reason_without_login(source):
        yield skipped(reason, f"Set {source.secret_variable} or {source.dsn_variable}, then: make deploy")
        return
    try:
        with open_source(source):
            yield ok(f"the database answers, and has the {len(source.tables)} tables of the source")
    except TallyError as error:
        step = f"Correct {source.dsn_variable}, or the secret that {source.secret_variable} names"
        yield problem(str(error), "a database with the tables of the source", step)


def _reason_without_login(source: Source) -> str:
    """The reason why a source is not in use; empty if it has a login."""
    try:
        source_settings(source)
    except SettingsError as error:
        if isinstance(error.__cause__, ValueError):  # the block does not exist
            return f"no login is set: neither {source.dsn_variable}, {source.secret_variable} nor a block"
    except TallyError:  # the check of the source reports it
        pass
    return ""
