"""The star of `totesys` after changes, runs, crashes and comparisons of keys, compared with a direct computation."""

from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random

import psycopg
import pytest
from sample_dataset import ready_connection
from totesys_oracle import (
    REFERENCES,
    SCHEMAS,
    Model,
    Source,
    Warehouse,
    changes_of,
    fact,
    star_days,
    star_dimensions,
)

from tasks.contracts.totesys import HISTORIES, TOTESYS
from tasks.engine.errors import WarehouseError
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.sync.deletions import close_deleted

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

CHECKED = datetime(2024, 5, 1, 12, tzinfo=UTC)
STEPS = 17
"""A number of steps that no run reaches: a run is not killed if `killed_at` is at least this number."""


@pytest.fixture
def warehouse() -> Iterator[Warehouse]:
    with ready_connection(*TOTESYS) as connection:
        apply_ddl(connection, TOTESYS, SCHEMAS)
        yield Warehouse(connection)


@pytest.fixture
def source() -> Source:
    """Three rows in every table, each fact with all of its dimensions."""
    source = Source(Random(1))  # noqa: S311 - repeatable, not secret
    for table in source.tables:
        for row_id in (1, 2, 3):
            source.put(table, row_id)
    return source


def sync(warehouse: Warehouse, source: Source, model: Model, killed_at: int | None = None) -> None:
    if changed := changes_of(source):
        model.arrive(changed)
        warehouse.sync(changed, killed_at)


def compare(warehouse: Warehouse, source: Source, model: Model, table: str) -> None:
    keys = set(source.tables[table])
    warehouse.compare(table, keys)
    model.compare(table, keys)


def current(warehouse: Warehouse, table: str) -> list[tuple[object, ...]]:
    return sorted(row[1:] for row in warehouse.rows(f"SELECT * FROM totesys_warehouse.fact_{table}_current"))


def assert_star(warehouse: Warehouse, model: Model) -> None:
    current_versions = []
    for table, facts in model.facts.items():
        found = warehouse.rows(f"SELECT * FROM totesys_warehouse.fact_{table}")
        expected = {(*fact(table, row), version in facts.closed) for version, (_, row) in facts.versions.items()}
        assert {(*row[1:-2], row[-2] is not None) for row in found} == expected
        assert len(found) == len(expected)
        current_versions += [row[1:-2] for row in found]
        assert current(warehouse, table) == sorted(fact(table, row) for row in facts.current())
        query = "SELECT source_id, last_updated FROM totesys_warehouse.quarantine WHERE is_waiting AND source_table = "
        assert set(warehouse.rows(f"{query} '{table}'")) == facts.waiting.keys()
    for table, rows in star_dimensions(model).items():
        assert set(warehouse.rows(f"SELECT * FROM totesys_warehouse.{table}")) == rows
    assert warehouse.rows("SELECT * FROM totesys_warehouse.dim_date ORDER BY 1") == star_days(current_versions)


def live(warehouse: Warehouse, source: Source, model: Model, random: Random) -> None:
    """Make some changes, and run. After some runs, delete a row, compare the keys, and restore the row unchanged."""
    for _ in range(random.randint(0, 15)):
        source.change()
    sync(warehouse, source, model, killed_at=random.randint(0, 2 * STEPS))
    assert_star(warehouse, model)
    table = random.choice(list(REFERENCES))
    if random.random() < 0.4 or not source.tables[table]:
        return
    gone = source.delete(table, random.choice(list(source.tables[table])))
    compare(warehouse, source, model, table)
    assert_star(warehouse, model)
    source.restore(table, gone)


@pytest.mark.parametrize("seed", range(5))
def test_star_equals_the_source_after_any_changes_and_runs(warehouse: Warehouse, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - repeatable, not secret
    source, model = Source(random), Model()
    for _ in range(6):
        live(warehouse, source, model, random)
    # Deliver all missing rows of dimensions, and compare the keys: no version waits, and the star equals the source.
    for table in {name for names in REFERENCES.values() for name in names.values()}:
        for row_id in {1, 2, 3} - set(source.tables[table]):
            source.put(table, row_id)
    sync(warehouse, source, model)
    for table in REFERENCES:
        compare(warehouse, source, model, table)
        assert current(warehouse, table) == sorted(fact(table, row) for row in source.tables[table].values())
    assert_star(warehouse, model)


def test_run_without_changes_builds_nothing_and_a_change_builds_the_affected_tables(
    warehouse: Warehouse, source: Source
) -> None:
    model = Model()
    sync(warehouse, source, model)
    tables = ["fact_sales_order", "fact_payment", "dim_date", "dim_design", "dim_staff", "dim_location"]

    def stamps() -> dict[str, set[tuple[object, ...]]]:
        return {name: set(warehouse.rows(f"SELECT xmin::text, * FROM totesys_warehouse.{name}")) for name in tables}

    before = stamps()
    warehouse.builds.clear()
    for schema in SCHEMAS:
        warehouse.build(schema)
    assert {receipt.status for receipt in warehouse.builds} == {"unchanged"}
    assert stamps() == before

    source.put("department", 1, department_name="New")
    for staff in source.tables["staff"].values():
        staff["department_id"] = 1 if staff["staff_id"] == 2 else staff["department_id"]
    sync(warehouse, source, model)
    changed = {name: len(rows - before[name]) for name, rows in stamps().items()}
    members = sum(row["department_id"] == 1 for row in model.dimensions["staff"].values())
    assert changed == dict.fromkeys(tables, 0) | {"dim_staff": members}
    assert_star(warehouse, model)


def test_fact_waits_for_its_dimension_with_a_warning_and_is_replayed_by_the_next_run(
    warehouse: Warehouse, source: Source
) -> None:
    model = Model()
    source.put("sales_order", 1, design_id=77, agreed_delivery_date="2031-01-01")
    sync(warehouse, source, model)
    (receipt,) = [r for r in warehouse.builds if r.table == "totesys_warehouse.quarantine"]
    (warning,) = receipt.warnings
    assert (warning.name, warning.broken_count) == ("facts are waiting for a dimension", 1)
    assert "design_id 77" in warning.examples[0]
    current_versions = {r.table.split("fact_")[1]: r.row_count for r in warehouse.builds if "fact_" in r.table}
    assert current_versions == {"sales_order": 2, "purchase_order": 3, "payment": 3}
    first_load = "SELECT first_load_id, is_waiting FROM totesys_warehouse.quarantine"
    (load_id,) = warehouse.rows("SELECT load_id FROM ledger.loads WHERE dataset = 'totesys_sales_order'")
    assert warehouse.rows(first_load) == [(*load_id, True)]
    assert_star(warehouse, model)
    source.put("staff", 1)
    source.restore("sales_order", source.tables["sales_order"][1])  # it arrives again, and still waits
    sync(warehouse, source, model)
    assert warehouse.rows(first_load) == [(*load_id, True)]
    assert_star(warehouse, model)
    source.put("design", 77)
    sync(warehouse, source, model)
    assert {r.table: r.row_count for r in warehouse.builds}["totesys_warehouse.fact_sales_order"] == 1
    assert warehouse.rows(first_load) == [(*load_id, False)]
    assert_star(warehouse, model)
    source.put("staff", 1)
    sync(warehouse, source, model)
    assert warehouse.rows(first_load) == []
    assert_star(warehouse, model)


def test_row_that_is_deleted_while_it_waits_arrives_closed(warehouse: Warehouse, source: Source) -> None:
    model = Model()
    source.put("payment", 2, payment_type_id=77)
    sync(warehouse, source, model)
    source.delete("payment", 2)
    receipt = warehouse.compare("payment", {1, 3}, CHECKED)
    model.compare("payment", {1, 3})
    assert (receipt.key_count, receipt.closed_count, receipt.waiting_count) == (2, 0, 1)
    source.put("payment_type", 77)
    sync(warehouse, source, model)
    assert_star(warehouse, model)
    query = "SELECT payment_id, deleted_at FROM totesys_warehouse.fact_payment WHERE deleted_at IS NOT NULL"
    assert warehouse.rows(query) == [(2, CHECKED)]


def test_deleted_row_is_closed_once_kept_and_opened_when_it_returns(warehouse: Warehouse, source: Source) -> None:
    model = Model()
    sync(warehouse, source, model)
    source.put("sales_order", 2)
    sync(warehouse, source, model)
    second = source.delete("sales_order", 2)
    receipt = warehouse.compare("sales_order", {1, 3}, CHECKED)
    assert (receipt.key_count, receipt.closed_count, receipt.waiting_count) == (2, 1, 0)
    assert warehouse.compare("sales_order", {1, 3}).closed_count == 0
    model.compare("sales_order", {1, 3})
    assert_star(warehouse, model)
    query = (
        "SELECT deleted_at FROM totesys_warehouse.fact_sales_order WHERE sales_order_id = 2"
        " ORDER BY last_updated_date, last_updated_time"
    )
    assert warehouse.rows(query) == [(None,), (CHECKED,)]
    source.put("payment", 1)  # a run without the row reopens nothing
    sync(warehouse, source, model)
    assert warehouse.rows(query) == [(None,), (CHECKED,)]
    source.restore("sales_order", second)
    sync(warehouse, source, model)
    assert warehouse.rows(query) == [(None,), (None,)]
    assert_star(warehouse, model)
    source.delete("sales_order", 2)
    compare(warehouse, source, model, "sales_order")
    source.put("sales_order", 2)
    sync(warehouse, source, model)
    assert len(warehouse.rows(f"{query}")) == 3
    assert_star(warehouse, model)


def test_current_version_follows_the_source_under_any_clock(warehouse: Warehouse, source: Source) -> None:
    model = Model()

    def put_and_sync(row_id: int, counterparty_id: int, at: datetime | None = None) -> None:
        for table in REFERENCES:
            source.put(table, row_id, at=at, counterparty_id=counterparty_id)
        sync(warehouse, source, model)

    def assert_current() -> None:
        assert_star(warehouse, model)
        for table in REFERENCES:
            assert current(warehouse, table) == sorted(fact(table, row) for row in source.tables[table].values())

    first = source.tables["counterparty"][1]["last_updated"]
    put_and_sync(1, 1)
    put_and_sync(1, 2, at=first)  # the clock goes back
    assert_current()
    put_and_sync(1, 3, at=first)  # and the time of a change stays the same
    assert_current()
    # A version that waited does not replace a version that arrived later.
    put_and_sync(1, 77)
    put_and_sync(1, 1, at=first)
    source.put("counterparty", 77)
    sync(warehouse, source, model)
    assert_current()


def test_source_that_breaks_off_or_gives_no_keys_closes_nothing(warehouse: Warehouse, source: Source) -> None:
    sync(warehouse, source, Model())

    def broken() -> Iterator[bytes]:
        yield b"id\n1\n"
        raise psycopg.OperationalError("the source is gone")

    with pytest.raises(Exception, match="the source is gone"):
        close_deleted(warehouse.connection, HISTORIES[0], broken(), CHECKED)
    with pytest.raises(WarehouseError, match=r"22P02.*keys of sales_order with totesys_warehouse.fact_sales_order"):
        close_deleted(warehouse.connection, HISTORIES[0], [b"id\none\n"], CHECKED)
    assert len(current(warehouse, "sales_order")) == 3


def test_table_that_is_emptied_closes_every_version(warehouse: Warehouse, source: Source) -> None:
    sync(warehouse, source, Model())
    assert close_deleted(warehouse.connection, HISTORIES[1], [b"id\n"], CHECKED).closed_count == 3
    assert current(warehouse, "purchase_order") == []
    assert len(current(warehouse, "sales_order")) == 3
