"""The star of totesys: the insert of the sales facts, and syncs of an operational database."""

import sys
from typing import TYPE_CHECKING, Any

from benchmarks.case import ROOT, Case, Contestant, Variables, program, psql, python
from benchmarks.flow_runs import BRIEF_FLOW, EMPTY_FLOW, ENGINE, FLOWS

if TYPE_CHECKING:
    from benchmarks.services import Bench

FACT = "totesys_warehouse.fact_sales_order"
SYNC = "from flows.totesys_sync import totesys_sync; totesys_sync()"
CHANGES = 1000


def tally() -> None:
    """Build the star. Only the sales facts are due."""
    from benchmarks.step import engine
    from tasks.contracts.totesys import TOTESYS
    from tasks.engine.build.builder import build_tables
    from tasks.totesys.currencies import currency_names

    with engine() as (connection, _):
        build_tables(connection, "totesys_warehouse", currency_names(), partition="", contracts=TOTESYS)


def _insert() -> str:
    query = (ROOT / "sql" / FACT.replace(".", "/") / "query.sql").read_text().rstrip().removesuffix(";")
    return f"INSERT INTO {FACT} ({{BENCH_COLUMNS}})\n{query};\n"


def keys_dropped(_: Variables) -> str:
    """The same insert between the removal and the creation of the foreign keys."""
    return f"ALTER TABLE {FACT} {{BENCH_DROP}};\n{_insert()}ALTER TABLE {FACT} {{BENCH_ADD}};\n"


def _source(bench: "Bench", sales_orders: int) -> Variables:
    """Create the operational database with some sales orders, its login and its buckets."""
    import psycopg

    from deployments.local import totesys

    def remove() -> None:
        with psycopg.connect(bench.services.administration["WAREHOUSE_DSN"], autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS totesys WITH (FORCE)")

    bench.prefect()
    bench.ends.callback(remove)
    totesys.SALES_ORDERS = sales_orders
    return totesys.provide(bench.services, bench.folder)


def _prepare(bench: "Bench", sales_orders: int) -> Variables:
    variables = _source(bench, sales_orders)
    bench.run_python("-c", SYNC, variables=variables)
    keys = bench.rows(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        f" WHERE conrelid = '{FACT}'::regclass AND contype = 'f' ORDER BY conname"
    )
    names = bench.rows(
        f"SELECT attname FROM pg_attribute WHERE attrelid = '{FACT}'::regclass AND attnum > 0 AND attidentity = ''"
        " AND NOT attisdropped ORDER BY attnum"
    )
    return {
        "BENCH_COLUMNS": ", ".join(name for (name,) in names),
        "BENCH_DROP": ", ".join(f"DROP CONSTRAINT {name}" for name, _ in keys),
        "BENCH_ADD": ", ".join(f"ADD CONSTRAINT {name} {definition}" for name, definition in keys),
    }


def _before(bench: "Bench", _: Contestant) -> None:
    bench.execute(f"TRUNCATE {FACT}", f"DELETE FROM ledger.builds WHERE table_name = '{FACT}'")


def _first_load(bench: "Bench", _: Contestant) -> None:
    bench.empty()


def _synced(bench: "Bench", sales_orders: int) -> Variables:
    variables = _source(bench, sales_orders)
    bench.run_python("-c", SYNC, variables=variables)
    return variables


def _run(bench: "Bench", one: Contestant) -> Variables:
    """Change the source if the run is about changes, and create the run."""
    if one.name == "tally changes":
        import random
        from datetime import UTC, datetime

        import psycopg

        from deployments.local import totesys
        from deployments.samples.totesys_changes import change_source

        with psycopg.connect(str(totesys.owner_dsn(bench.folder)), autocommit=True) as source:
            rng = random.Random("bench")  # noqa: S311 - repeatable, not secret
            change_source(source, rng, bench.scaled(CHANGES), at=datetime.now(UTC).replace(tzinfo=None))
    sync: tuple[str, dict[str, Any]] = ("flows.totesys_sync.totesys_sync", {})
    return {"PREFECT__FLOW_RUN_ID": bench.flow_run(*FLOWS.get(one.name, sync))}


CASES = (
    Case(
        "star",
        "facts",
        "build of {size} facts of sales orders",
        (200_000,),
        _prepare,
        (
            Contestant("tally", "inserts and checks the facts, writes the ledger", python(tally)),
            Contestant("keys dropped", "psql drops the foreign keys, inserts, adds them again", psql(keys_dropped)),
        ),
        "keys dropped",
        _before,
        lambda bench, _: bench.digest(FACT, "sales_record_id"),
    ),
    Case(
        "runs",
        "sync",
        "deployed runs of totesys-sync over {size} sales orders",
        (20_000,),
        _synced,
        (
            Contestant("tally nothing", "no row changed", ENGINE),
            Contestant("tally changes", f"{CHANGES:,} changes in the source", ENGINE),
            BRIEF_FLOW,
            EMPTY_FLOW,
        ),
        "brief flow",
        _run,
    ),
    Case(
        "growth",
        "sync",
        "first sync of {size} sales orders and all that they refer to",
        (100_000, 300_000, 1_000_000),
        _source,
        (Contestant("tally", "flow totesys-sync", program(sys.executable, "-c", SYNC)),),
        "tally",
        _first_load,
        unit="sales orders",
        is_default=False,
    ),
)
