"""Histories in a real Postgres: in whatever order snapshots arrive, the table holds the versions of all of them."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from sample_dataset import HEADER, THINGS, connection, load, put

from tasks.contracts import Column, Contract, Partition
from tasks.contracts.types import DATE, INTEGER, NUMERIC, TEXT
from tasks.contracts.volume import Volume
from tasks.engine import ledger
from tasks.engine.build import sql_files
from tasks.engine.build.builder import build_tables
from tasks.engine.build.sql_files import sql_table
from tasks.engine.errors import CheckError, ShrinkError, SqlFileError
from tasks.engine.explain.explanation import explain_row
from tasks.engine.receipts import BuildReceipt, ObjectRef
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.schema.rebuilds import rebuild_errors
from tasks.engine.warehouse.tables import Connection

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

SQL = Path(__file__).parents[1] / "support" / "history_sql"
CUSTOMERS = Contract(
    dataset="customers",
    table="crm_staging.customers",
    description="Customers of a day.",
    columns=(
        Column("region", TEXT, "Region."),
        Column("customer_id", INTEGER, "Number."),
        Column("name", TEXT, "Name."),
        Column("balance", NUMERIC(), "Balance."),
        Column("details", TEXT, "Details."),
        Column("term", TEXT, "Term."),
    ),
    prefix="",
    key="{year:04d}/{month:02d}/{day:02d}/customers.csv",
    partition=Partition(column="day", unit="day"),
)
MEMBERS = replace(
    THINGS,
    dataset="members",
    table="crm_staging.members",
    prefix="",
    key="members.csv",
    columns=(Column("name", TEXT, "Name.", nullable=False), Column("seen_date", DATE, "Day.", source="day")),
    partition=None,
)
CUSTOMERS_TABLE = """-- sources: none
CREATE TABLE IF NOT EXISTS crm_staging.customers (
    day date NOT NULL, load_id bigint NOT NULL, region text, customer_id integer, name text, balance numeric,
    details jsonb, term interval, line_number bigint
);
"""
DAYS = [date(2021, 4, 1) + timedelta(n) for n in range(6)]
FIRST, SECOND, THIRD, FOURTH, FIFTH, _ = DAYS

Row = tuple[Any, ...]
Snapshots = dict[date, list[Row]]
VERSIONS = (
    "SELECT region, customer_id, name, balance, details, term::text, valid_from, valid_to FROM crm_marts.customers"
    " ORDER BY region, customer_id, valid_from"
)


def row(number: int | None = 1, name: str | None = "a", balance: str = "1", term: str = "P30D") -> Row:
    """A customer of the north."""
    return ("north", number, name, Decimal(balance), {"size": 1}, term)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(SQL, tmp_path, dirs_exist_ok=True)
    shutil.copytree(sql_files.ROOT / "ledger", tmp_path / "ledger")
    put_file(tmp_path, "crm_staging/customers/table.sql", CUSTOMERS_TABLE)
    return tmp_path


@pytest.fixture
def crm(database: str, root: Path) -> Iterator[Connection]:
    del database
    with connection() as opened:
        apply_ddl(opened, [MEMBERS], ["crm_staging", "crm_marts"], root)
        yield opened


def put_file(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def change(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text()
    assert old in text
    put_file(root, name, text.replace(old, new))


def deliver(crm: Connection, day: date, *rows: Row) -> int:
    """Replace the snapshot of a day, as a load does."""
    with crm.transaction():
        source = ObjectRef(f"s3://lake/{day}", "v", 1, f"{day}")
        load_id = ledger.open_load(crm, "customers", source, None)
        crm.execute("DELETE FROM crm_staging.customers WHERE day = %s", [day])
        values = [(day, load_id, *one[:4], None if one[4] is None else Jsonb(one[4]), one[5]) for one in rows]
        crm.cursor().executemany("INSERT INTO crm_staging.customers VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", values)
    return load_id


def withdraw(crm: Connection, day: date) -> None:
    """Remove the load of a day."""
    crm.execute("DELETE FROM crm_staging.customers WHERE day = %s", [day])
    crm.execute("UPDATE ledger.loads SET status = 'lost' WHERE partition = %s AND status = 'loaded'", [f"{day}"])


def build(
    crm: Connection, root: Path, day: date = FIRST, *, force: bool = False, contract: Contract = CUSTOMERS
) -> BuildReceipt:
    receipts = build_tables(
        crm, "crm_marts", {"day": day}, partition=f"{day}", contracts=[contract, MEMBERS], force=force, root=root
    )
    return next(receipt for receipt in receipts if receipt.table == "crm_marts.customers")


def run(crm: Connection, root: Path, day: date, *rows: Row, force: bool = False) -> int:
    """Deliver and build a day. Returns the number of written rows."""
    deliver(crm, day, *rows)
    return build(crm, root, day, force=force).row_count


def versions(crm: Connection) -> list[Row]:
    return crm.execute(VERSIONS).fetchall()


def names(crm: Connection) -> list[Row]:
    return [(one[1], one[2], one[6], one[7]) for one in versions(crm)]


def expected_versions(snapshots: Mapping[date, list[Row]]) -> list[Row]:
    """The versions of all snapshots, computed key by key."""
    days = sorted(snapshots)
    found: list[Row] = []
    for key in sorted({one[:2] for rows in snapshots.values() for one in rows}):
        for place, day in enumerate(days):
            end = days[place + 1] if place + 1 < len(days) else None
            values = next((one for one in snapshots[day] if one[:2] == key), None)
            if values is None:
                continue
            last = found[-1] if found else None
            if last and last[:6] == values and last[7] == day:
                found[-1] = (*last[:7], end)
            else:
                found.append((*values, day, end))
    return found


balances = st.sampled_from(["1.0", "1.00", "2"]).map(Decimal)
details = st.sampled_from([None, {"size": 1}, {"size": 1.0}, {"size": 2}])
values = st.tuples(st.sampled_from([None, "a", "b"]), balances, details, st.just("P30D"))
keys = st.tuples(st.sampled_from(["north", "south"]), st.integers(1, 2))
snapshots_of_rows = st.dictionaries(keys, values).map(lambda found: [(*key, *rest) for key, rest in found.items()])
histories = st.lists(
    st.tuples(st.sampled_from(DAYS), st.one_of(st.none(), snapshots_of_rows, snapshots_of_rows)), min_size=3, max_size=9
)


@pytest.mark.slow
@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(history=histories)
def test_history_does_not_depend_on_the_order_of_deliveries_corrections_and_withdrawals(
    crm: Connection, root: Path, history: list[tuple[date, list[Row] | None]]
) -> None:
    crm.execute("TRUNCATE crm_staging.customers, crm_marts.customers, ledger.loads CASCADE; TRUNCATE ledger.builds")
    snapshots: Snapshots = {}
    for day, rows in history:
        if rows is None:
            withdraw(crm, day)
            snapshots.pop(day, None)
        else:
            deliver(crm, day, *rows)
            snapshots[day] = rows
        build(crm, root, day, force=True)
        assert versions(crm) == expected_versions(snapshots)
        assert build(crm, root, day, force=True).row_count == 0


def test_versions_end_when_a_row_changes_or_disappears_and_begin_when_it_returns(crm: Connection, root: Path) -> None:
    assert run(crm, root, FIRST, row(1), row(2)) == 2
    assert run(crm, root, SECOND, row(1, "b")) == 3
    assert run(crm, root, THIRD, row(1, "b"), row(2)) == 1
    assert names(crm) == [
        (1, "a", FIRST, SECOND),
        (1, "b", SECOND, None),
        (2, "a", FIRST, SECOND),
        (2, "a", THIRD, None),
    ]


def test_unchanged_snapshot_writes_no_row(crm: Connection, root: Path) -> None:
    run(crm, root, FIRST, row(1), row(2))
    before = crm.execute("SELECT ctid, xmin::text FROM crm_marts.customers ORDER BY 1").fetchall()
    assert run(crm, root, SECOND, row(1, balance="1.00"), row(2)) == 0
    assert crm.execute("SELECT ctid, xmin::text FROM crm_marts.customers ORDER BY 1").fetchall() == before
    assert build(crm, root, SECOND).status == "unchanged"


def test_interval_of_a_month_is_not_one_of_thirty_days(crm: Connection, root: Path) -> None:
    run(crm, root, FIRST, row(1))
    assert run(crm, root, SECOND, row(1, term="1 month")) == 2


@pytest.mark.parametrize("first_spelling", ["1.0", "1.00"])
def test_equal_numbers_keep_the_form_of_the_first_snapshot_in_any_order(
    crm: Connection, root: Path, first_spelling: str
) -> None:
    run(crm, root, SECOND, row(1, balance="1.000"))
    run(crm, root, FIRST, row(1, balance=first_spelling))
    assert crm.execute("SELECT balance::text, valid_from FROM crm_marts.customers").fetchall() == [
        (first_spelling, FIRST)
    ]


def test_late_snapshot_splits_a_version_and_its_correction_joins_it_again(crm: Connection, root: Path) -> None:
    run(crm, root, FIRST, row(1))
    run(crm, root, FIFTH, row(1))
    assert run(crm, root, THIRD, row(1, "b")) == 3
    assert names(crm) == [(1, "a", FIRST, THIRD), (1, "b", THIRD, FIFTH), (1, "a", FIFTH, None)]
    assert run(crm, root, THIRD, row(1)) == 3
    assert names(crm) == [(1, "a", FIRST, None)]


def test_snapshot_without_rows_needs_force_or_the_permission_of_the_contract(crm: Connection, root: Path) -> None:
    run(crm, root, FIRST, row(1))
    deliver(crm, SECOND)
    with pytest.raises(ShrinkError, match=r"rows in the snapshot of 2021-04-02, found none: it would end all 1 valid"):
        build(crm, root, SECOND)
    assert names(crm) == [(1, "a", FIRST, None)]
    allowed = replace(CUSTOMERS, volume=Volume(min_rows=0))
    assert build(crm, root, SECOND, contract=allowed).row_count == 1
    assert names(crm) == [(1, "a", FIRST, SECOND)]
    assert run(crm, root, THIRD) == 0  # an empty snapshot after an empty one ends no row
    run(crm, root, FOURTH, row(1))
    assert run(crm, root, FIFTH, force=True) == 1


@pytest.mark.parametrize(
    ("rows", "key"), [([row(1), row(1, "b")], r"\('north', 1\)"), ([row(None)], r"\('north', None\)")]
)
def test_repeated_key_and_null_in_a_key_are_refused(crm: Connection, root: Path, rows: list[Row], key: str) -> None:
    run(crm, root, FIRST, row(5))
    with pytest.raises(SqlFileError, match=rf"each \(region, customer_id\) once and without nulls, found {key}"):
        run(crm, root, SECOND, *rows)
    assert names(crm) == [(5, "a", FIRST, None)]


def test_failing_check_changes_no_version(crm: Connection, root: Path) -> None:
    run(crm, root, FIRST, row(1))
    with pytest.raises(CheckError, match=r"balances are not negative: 1 rows"):
        run(crm, root, SECOND, row(1, balance="-1"))
    assert names(crm) == [(1, "a", FIRST, None)]
    assert crm.execute("SELECT snapshot_at FROM ledger.builds WHERE partition <> ''").fetchall() == [
        (datetime(2021, 4, 1, tzinfo=UTC),)
    ]


def test_builds_of_all_days_at_once_give_the_same_history(crm: Connection, root: Path) -> None:
    snapshots = {day: [row(1, "ab"[place % 2])] for place, day in enumerate(DAYS)}
    for day, rows in snapshots.items():
        deliver(crm, day, *rows)

    def one(day: date) -> None:
        with connection() as own:
            build(own, root, day)

    with ThreadPoolExecutor(len(DAYS)) as pool:
        list(pool.map(one, reversed(DAYS)))
    assert versions(crm) == expected_versions(snapshots)


def test_rows_that_the_ledger_does_not_know_are_not_overwritten(crm: Connection, root: Path) -> None:
    run(crm, root, SECOND, row(1))
    run(crm, root, FOURTH, row(1, "b"))
    crm.execute("DELETE FROM ledger.builds WHERE partition = %s", [f"{FOURTH}"])
    with pytest.raises(SqlFileError, match=r"snapshot of 2021-04-03 and the next snapshot.*none, found 2 rows"):
        run(crm, root, THIRD, row(1, "c"))


def test_added_column_is_null_until_its_snapshots_are_built_again(crm: Connection, root: Path) -> None:
    run(crm, root, FIRST, row(1))
    run(crm, root, SECOND, row(1, "b"))
    change(root, "crm_marts/customers/table.sql", "    term interval,\n", "    term interval,\n    size integer,\n")
    change(root, "crm_marts/customers/query.sql", "customers.term\n", "customers.term,\n    7 AS size\n")
    apply_ddl(crm, [MEMBERS], ["crm_staging", "crm_marts"], root)
    sizes = "SELECT size FROM crm_marts.customers ORDER BY valid_from"
    assert crm.execute(sizes).fetchall() == [(None,), (None,)]
    for day in (FIRST, SECOND):
        assert build(crm, root, day).row_count == 2
    assert crm.execute(sizes).fetchall() == [(7,), (7,)]


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "query.sql",
            "customer_id, valid_from\n",
            "customer_id\n",
            "expected `-- key: region, customer_id, valid_from`",
        ),
        (
            "query.sql",
            "    customers.term\n",
            "    customers.term,\n    %(day)s::date AS valid_from\n",
            "query returns valid",
        ),
        ("query.sql", "history by (region, customer_id)", "history", "write disposition is 'history'"),
    ],
)
def test_query_that_breaks_the_rules_of_histories_is_refused(
    crm: Connection, root: Path, file: str, old: str, new: str, message: str
) -> None:
    change(root, f"crm_marts/customers/{file}", old, new)
    with pytest.raises(SqlFileError, match=message):
        run(crm, root, FIRST, row(1))


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("ALTER TABLE crm_marts.customers DROP CONSTRAINT customers_region_customer_id_valid_from_uk", "unique constr"),
        ("ALTER TABLE crm_marts.customers DROP COLUMN valid_to", "found date and no column"),
        ("ALTER TABLE crm_marts.customers ALTER valid_to TYPE timestamptz", "found date and timestamp with time zone"),
    ],
)
def test_table_without_the_columns_or_the_key_of_a_history_is_refused(
    crm: Connection, root: Path, statement: str, message: str
) -> None:
    crm.execute("ALTER TABLE crm_marts.customers DROP CONSTRAINT customers_valid_to_ck")
    crm.execute(statement)
    with pytest.raises(SqlFileError, match=message):
        run(crm, root, FIRST, row(1))


def test_partition_of_a_history_must_be_a_month_or_a_day(crm: Connection, root: Path) -> None:
    with pytest.raises(SqlFileError, match=r"expected a month or a day as the partition of a history.*found 'all'"):
        build_tables(crm, "crm_marts", {"day": FIRST}, partition="all", contracts=[CUSTOMERS], root=root)


def test_version_is_explained_by_the_lines_of_every_snapshot_that_has_it(crm: Connection, root: Path) -> None:
    loads = {deliver(crm, day, row(1)) for day in (FIRST, SECOND)}
    deliver(crm, THIRD, row(1, "b"))
    for day in DAYS[:3]:
        build(crm, root, day)
    crm.execute("UPDATE crm_staging.customers SET line_number = 2")
    key = {"region": "north", "customer_id": "1", "valid_from": "2021-04-01"}
    found = explain_row(crm, "crm_marts.customers", key, [CUSTOMERS], root)
    assert {origin.load_id for origin in found.origins.shown} == loads


def test_rebuild_from_query_is_refused(root: Path) -> None:
    change(root, "crm_marts/customers/table.sql", "-- sources", "-- rebuild: from query\n-- sources")
    assert "history" in next(rebuild_errors(sql_table("crm_marts.customers", root)))


MART = """-- key: day
-- sources: crm_marts.{0}
-- write disposition: replace partition (day)
SELECT %(day)s::date AS day, count(*) AS size FROM crm_marts.{0}
"""


@pytest.mark.parametrize(("source", "is_refused"), [("customers", True), ("members", False)])
def test_partition_may_read_a_history_of_a_dataset_without_partitions_only(
    crm: Connection, root: Path, source: str, is_refused: bool
) -> None:
    table = "-- sources: none\nCREATE TABLE IF NOT EXISTS crm_counts.sizes (day date, size bigint);\n"
    put_file(root, "crm_counts/sizes/table.sql", table)
    put_file(root, "crm_counts/sizes/query.sql", MART.format(source))
    apply_ddl(crm, [], ["crm_counts"], root)

    def count() -> list[BuildReceipt]:
        contracts = [CUSTOMERS, MEMBERS]
        return build_tables(crm, "crm_counts", {"day": FIRST}, partition=f"{FIRST}", contracts=contracts, root=root)

    if is_refused:
        with pytest.raises(SqlFileError, match=r"reads crm_marts.customers, which is a history: a later file"):
            count()
    else:
        assert [receipt.status for receipt in count()] == ["built"]


Member = Callable[..., list[BuildReceipt]]


@pytest.fixture
def members(crm: Connection, root: Path) -> Member:
    def run_members(data: bytes, day: date = FIRST, *, force: bool = False) -> list[BuildReceipt]:
        """Load the list that is overwritten, and build its history in the run of a day."""
        load(crm, put(HEADER + data, "members.csv", ""), contract=MEMBERS, force=force)
        contracts = [CUSTOMERS, MEMBERS]
        return build_tables(crm, "crm_marts", {"day": day}, partition=f"{day}", contracts=contracts, root=root)

    return run_members


def times(crm: Connection) -> list[datetime]:
    rows = crm.execute("SELECT loaded_at FROM ledger.loads WHERE dataset = 'members' ORDER BY load_id")
    return [time for (time,) in rows]


def test_overwritten_snapshot_is_valid_from_its_load_in_builds_of_any_partition(
    crm: Connection, members: Member
) -> None:
    members(b"a,\nb,\n", THIRD)
    members(b"b,2021-04-01\nc,\n", FIRST)
    first, second = times(crm)
    found = crm.execute("SELECT name, valid_from, valid_to FROM crm_marts.members ORDER BY 1, 2").fetchall()
    assert found == [("a", first, second), ("b", first, second), ("b", second, None), ("c", second, None)]
    before = crm.execute("SELECT ctid FROM crm_marts.members ORDER BY 1").fetchall()
    members(b"b,2021-04-01\nc,\n", force=True)
    assert len(times(crm)) == 3
    assert crm.execute("SELECT ctid FROM crm_marts.members ORDER BY 1").fetchall() == before


def test_delivery_that_is_older_than_the_last_snapshot_is_refused(crm: Connection, members: Member) -> None:
    members(b"a,\n")
    crm.execute("UPDATE ledger.builds SET snapshot_at = snapshot_at + interval '1 hour' WHERE partition = ''")
    with pytest.raises(
        SqlFileError, match=r"expected a delivery after the last snapshot of crm_marts\.members, .* UTC"
    ):
        members(b"b,\n")
    assert crm.execute("SELECT name, valid_to FROM crm_marts.members").fetchall() == [("a", None)]


def test_nothing_is_written_before_the_first_delivery(crm: Connection, root: Path) -> None:
    run(crm, root, FIRST, row(1))
    assert crm.execute("SELECT count(*) FROM crm_marts.members").fetchone() == (0,)
