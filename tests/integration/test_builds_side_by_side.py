"""Builds of many partitions at once, tables that are built as a whole, and combinations that leave old rows."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from pydantic import SecretStr

from tasks.contracts import Column, Contract, Partition
from tasks.contracts.types import TEXT
from tasks.engine import ledger
from tasks.engine.build import sql_files
from tasks.engine.build.builder import build_tables
from tasks.engine.errors import SqlFileError
from tasks.engine.receipts import BuildReceipt, ObjectRef
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.tables import Connection, connect

pytestmark = pytest.mark.ledger

FILES = {
    "staging/facts/table.sql": "CREATE TABLE IF NOT EXISTS staging.facts (month date NOT NULL, country text);\n",
    "staging/names/table.sql": "CREATE TABLE IF NOT EXISTS staging.names (country text, name text);\n",
    "shop/by_month/table.sql": "CREATE TABLE IF NOT EXISTS shop.by_month (month date PRIMARY KEY, fact_count int);\n",
    "shop/by_month/query.sql": """\
-- key: month
-- sources: staging.facts
-- write disposition: replace partition (month)
SELECT facts.month, count(*)::int AS fact_count FROM staging.facts WHERE facts.month = %(month)s GROUP BY facts.month
""",
    "shop/with_key/table.sql": (
        "CREATE TABLE IF NOT EXISTS shop.with_key (country text PRIMARY KEY, fact_count int);\n"
    ),
    "shop/without_key/table.sql": "CREATE TABLE IF NOT EXISTS shop.without_key (country text, fact_count int);\n",
} | {
    f"shop/{name}/query.sql": """\
-- key: country
-- sources: staging.facts
-- write disposition: replace table
SELECT facts.country, count(*)::int AS fact_count FROM staging.facts GROUP BY facts.country
"""
    for name in ("with_key", "without_key")
}
MONTHS = [date(2021, number, 1) for number in range(1, 12)]
COUNTRIES = [f"country {number:02}" for number in range(16)]
FACTS, NAMES = (
    Contract(
        dataset=name,
        table=f"staging.{name}",
        description=name,
        columns=(Column("country", TEXT, "Country."),),
        partition=partition,
    )
    for name, partition in (("facts", Partition("month", "month")), ("names", None))
)

Connect = Callable[[], AbstractContextManager[Connection]]


@pytest.fixture
def open_connection(database: str) -> Connect:
    return lambda: connect(WarehouseSettings(dsn=SecretStr(database)), "side by side")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(sql_files.ROOT / "ledger", tmp_path / "ledger")
    for file, text in FILES.items():
        put(tmp_path, file, text)
    return tmp_path


@pytest.fixture
def shop(open_connection: Connect, root: Path) -> Iterator[Connection]:
    with open_connection() as connection:
        connection.execute("CREATE SCHEMA staging; CREATE SCHEMA shop")
        apply_ddl(connection, [], ["staging", "shop"], root)
        yield connection


def put(root: Path, file: str, text: str) -> None:
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if text.startswith("-- ") else f"-- sources: none\n{text}", encoding="utf-8")


def add(shop: Connection, root: Path, table: str, columns: str, query: str) -> None:
    """Add a built table to the SQL and to the database."""
    schema, name = table.split(".")
    put(root, f"{schema}/{name}/table.sql", f"CREATE TABLE IF NOT EXISTS {table} ({columns});\n")
    put(root, f"{schema}/{name}/query.sql", query)
    shop.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}; CREATE TABLE {table} ({columns})")


def deliver(connection: Connection, month: date) -> None:
    """A month with one fact of each country, under a ledger entry."""
    with connection.transaction():
        partition = f"{month:%Y-%m}"
        ledger.open_load(connection, "facts", ObjectRef(f"s3://lake/{partition}", "v1", 1, partition), None)
        connection.execute("INSERT INTO staging.facts SELECT %s, unnest(%s::text[])", [month, COUNTRIES])


def build(connection: Connection, root: Path, month: date, schema: str = "shop", **options: Any) -> list[BuildReceipt]:
    return build_tables(
        connection,
        schema,
        {"month": month},
        partition=f"{month:%Y-%m}",
        contracts=[FACTS, NAMES],
        root=root,
        **options,
    )


def statuses(receipts: list[BuildReceipt]) -> dict[str, str]:
    return {receipt.table.partition(".")[2]: receipt.status for receipt in receipts}


def rows(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


@pytest.mark.parametrize("force", [False, True])
def test_eleven_months_side_by_side_fill_shared_tables_once(
    shop: Connection, root: Path, open_connection: Connect, force: bool
) -> None:
    together = Barrier(len(MONTHS))

    def run(month: date) -> list[BuildReceipt]:
        with open_connection() as own:
            deliver(own, month)
            together.wait(timeout=60)
            return build(own, root, month, force=force)

    with ThreadPoolExecutor(len(MONTHS)) as pool:
        list(pool.map(run, MONTHS))
    for table in ("with_key", "without_key"):
        assert rows(shop, f"SELECT * FROM shop.{table} ORDER BY 1") == [(name, len(MONTHS)) for name in COUNTRIES]
    assert rows(shop, "SELECT * FROM shop.by_month ORDER BY 1") == [(month, len(COUNTRIES)) for month in MONTHS]
    entries = rows(shop, "SELECT table_name, count(*), min(partition) FROM ledger.builds GROUP BY 1 ORDER BY 1")
    assert entries == [("shop.by_month", 11, "2021-01"), ("shop.with_key", 1, ""), ("shop.without_key", 1, "")]


def test_table_that_is_built_as_a_whole_follows_the_loads_of_all_partitions(shop: Connection, root: Path) -> None:
    for month in MONTHS[:2]:
        deliver(shop, month)
    assert set(statuses(build(shop, root, MONTHS[0])).values()) == {"built"}
    # The build of the other month finds the whole tables unchanged, and builds only its own partition.
    assert statuses(build(shop, root, MONTHS[1])) == {
        "by_month": "built",
        "with_key": "unchanged",
        "without_key": "unchanged",
    }
    deliver(shop, MONTHS[2])
    assert statuses(build(shop, root, MONTHS[0])) == {
        "by_month": "unchanged",
        "with_key": "built",
        "without_key": "built",
    }
    assert rows(shop, "SELECT DISTINCT fact_count FROM shop.without_key") == [(3,)]


def test_shared_table_is_filled_by_the_builds_of_several_partitions(shop: Connection, root: Path) -> None:
    """The build of one partition recognises the rows of another partition's build as Tally's own."""
    for name in ("table.sql", "query.sql"):
        text = FILES[f"shop/with_key/{name}"]
        text = text if text.startswith("-- ") else f"-- write disposition: fill shared table\n{text}"
        put(root, f"shop/with_key/{name}", text.replace("replace table", "fill shared table"))
    for number, month in enumerate(MONTHS[:2], 1):
        deliver(shop, month)
        assert statuses(build(shop, root, month))["with_key"] == "built"
        assert rows(shop, "SELECT DISTINCT fact_count FROM shop.with_key") == [(number,)]


def test_rows_of_another_partition_are_refused(shop: Connection, root: Path) -> None:
    put(root, "shop/by_month/query.sql", FILES["shop/by_month/query.sql"].replace("= %(month)s", ">= %(month)s"))
    for month in MONTHS[:3]:
        deliver(shop, month)
    with pytest.raises(SqlFileError, match=r"expects rows whose month is 2021-01-01, found 2 other rows"):
        build(shop, root, MONTHS[0])
    assert rows(shop, "SELECT count(*) FROM shop.by_month") == [(0,)]


def test_partition_without_its_parameter_is_refused(shop: Connection, root: Path) -> None:
    with pytest.raises(SqlFileError, match=r"expected a value for month, found values for day; give"):
        build_tables(shop, "shop", {"day": MONTHS[0]}, partition="2021-01", contracts=[FACTS], root=root)


def test_whole_table_that_depends_on_the_partition_is_refused(shop: Connection, root: Path) -> None:
    put(
        root,
        "shop/with_key/query.sql",
        FILES["shop/with_key/query.sql"].replace("GROUP BY", "WHERE facts.month = %(month)s GROUP BY"),
    )
    with pytest.raises(SqlFileError, match=r"with_key.*uses %\(month\)s.*use `replace partition \(month\)`"):
        build(shop, root, MONTHS[0])


LATEST = """\
-- key: country
-- sources: staging.facts
-- write disposition: {}
SELECT facts.country, max(facts.month) AS month FROM staging.facts GROUP BY facts.country
"""
AFFECTED_KEYS = "-- sources: staging.facts\nSELECT facts.country FROM staging.facts WHERE facts.month = %(month)s\n"
MART = """\
-- key: month
-- sources: {0}
-- write disposition: replace partition (month)
SELECT %(month)s::date AS month, count(*)::int AS fact_count FROM {0}
"""


@pytest.mark.parametrize("upstream", ["core.latest", "core.latest_view", "core.latest_copy"])
@pytest.mark.parametrize("schema", ["marts", "core"])
@pytest.mark.parametrize(
    ("disposition", "why"),
    [
        ("merge by (country)", "merged"),
        ("append", "appended to"),
        ("append, change all but (month)", "appended to and changed"),
        ("replace table", "built as a whole from partitions"),
    ],
)
def test_partition_that_reads_what_later_partitions_change_is_refused(
    shop: Connection, root: Path, disposition: str, why: str, schema: str, upstream: str
) -> None:
    add(shop, root, "core.latest", "country text PRIMARY KEY, month date", LATEST.format(disposition))
    if disposition.startswith("merge"):
        put(root, "core/latest/affected_keys.sql", AFFECTED_KEYS)
    put(root, "core/latest_view/table.sql", "-- sources: core.latest\nCREATE VIEW core.latest_view AS SELECT 1;\n")
    copy = LATEST.format("replace table").replace("staging.facts", "core.latest")
    add(shop, root, "core.latest_copy", "country text, month date", copy)
    add(shop, root, f"{schema}.mart", "month date, fact_count int", MART.format(upstream))
    with pytest.raises(SqlFileError, match=rf"{schema}/mart/query.sql.*reads core.latest\w*, which is {why}: a later"):
        build(shop, root, MONTHS[0], schema)
    assert rows(shop, f"SELECT count(*) FROM {schema}.mart") == [(0,)]


MERGED_MART = """\
-- key: month
-- sources: core.latest
-- write disposition: merge by (month)
SELECT latest.month, count(*)::int AS fact_count
FROM core.latest INNER JOIN affected_mart ON latest.month = affected_mart.month GROUP BY latest.month
"""
OF_SOURCE = "-- sources: {0}\nSELECT DISTINCT latest.month FROM {0} AS latest WHERE latest.month = %(month)s\n"
OF_BOTH = OF_SOURCE.replace("{0}\nSELECT", "{0}, {1}\nSELECT").strip() + " UNION ALL SELECT month FROM {1}\n"


@pytest.mark.parametrize("upstream", ["core.latest", "core.latest_view"])
@pytest.mark.parametrize(
    ("schema", "disposition", "keys", "is_refused"),
    [
        ("marts", "merge by (country)", OF_SOURCE, True),
        ("marts", "append, change all but (month)", OF_SOURCE, True),
        ("marts", "replace partition (month)", OF_SOURCE, True),
        ("marts", "append", OF_SOURCE, False),
        ("marts", "merge by (country)", OF_BOTH, False),
        ("marts", "merge by (country)", OF_SOURCE.replace("WHERE latest.month = %(month)s", ""), False),
        ("core", "merge by (country)", OF_SOURCE, False),
    ],
)
def test_merge_that_selects_its_keys_only_from_rows_of_an_earlier_build_is_refused(
    shop: Connection, root: Path, schema: str, disposition: str, keys: str, upstream: str, *, is_refused: bool
) -> None:
    query = LATEST.format(disposition).replace("GROUP BY", "WHERE facts.month = %(month)s GROUP BY")
    add(shop, root, "core.latest", "country text PRIMARY KEY, month date", query)
    if disposition.startswith("merge"):
        put(root, "core/latest/affected_keys.sql", AFFECTED_KEYS)
    view = "-- sources: core.latest\nCREATE VIEW core.latest_view AS SELECT country, month FROM core.latest;\n"
    put(root, "core/latest_view/table.sql", view)
    shop.execute("CREATE VIEW core.latest_view AS SELECT country, month FROM core.latest")
    add(shop, root, f"{schema}.mart", "month date PRIMARY KEY, fact_count int", MERGED_MART)
    put(root, f"{schema}/mart/affected_keys.sql", keys.format(upstream, f"{schema}.mart"))
    if is_refused:
        message = rf"sql/{schema}/mart/affected_keys.sql: `merge by \(month\)` takes its keys from core.latest only"
        with pytest.raises(SqlFileError, match=message):
            build(shop, root, MONTHS[0], schema)
    else:
        statuses = {receipt.table: receipt.status for receipt in build(shop, root, MONTHS[0], schema)}
        assert statuses[f"{schema}.mart"] == "built"


def test_partition_may_read_a_dimension_and_follows_it(shop: Connection, root: Path) -> None:
    dimension = "-- key: country\n-- sources: staging.names\n-- write disposition: replace table\n"
    add(shop, root, "core.names", "country text, name text", f"{dimension}SELECT country, name FROM staging.names\n")
    add(shop, root, "marts.mart", "month date, fact_count int", MART.format("core.names"))

    def run(month: date) -> tuple[str, str]:
        return build(shop, root, month, "core")[0].status, build(shop, root, month, "marts")[0].status

    for month in MONTHS[:2]:
        deliver(shop, month)
    assert [run(month) for month in MONTHS[:2]] == [("built", "built"), ("unchanged", "built")]
    assert [run(month) for month in MONTHS[:2]] == [("unchanged", "unchanged")] * 2
    ledger.open_load(shop, "names", ObjectRef("s3://lake/names", "v1", 1, ""), None)
    shop.execute("INSERT INTO staging.names VALUES ('a', 'b')")
    assert [run(month) for month in MONTHS[:2]] == [("built", "built"), ("unchanged", "built")]
    assert rows(shop, "SELECT * FROM marts.mart ORDER BY 1") == [(month, 1) for month in MONTHS[:2]]


def test_changed_sql_of_another_schema_builds_what_reads_it(shop: Connection, root: Path) -> None:
    add(shop, root, "marts.copy", "month date, fact_count int", MART.format("shop.by_month"))
    deliver(shop, MONTHS[0])
    build(shop, root, MONTHS[0])
    assert [statuses(build(shop, root, MONTHS[0], "marts"))["copy"] for _ in range(2)] == ["built", "unchanged"]
    put(root, "shop/by_month/query.sql", FILES["shop/by_month/query.sql"].replace("count(*)", "2 * count(*)"))
    build(shop, root, MONTHS[0])
    assert statuses(build(shop, root, MONTHS[0], "marts")) == {"copy": "built"}


def test_table_is_left_when_a_dataset_changes_that_it_does_not_read(shop: Connection, root: Path) -> None:
    deliver(shop, MONTHS[0])
    build(shop, root, MONTHS[0])
    ledger.open_load(shop, "names", ObjectRef("s3://lake/names", "v1", 1, ""), None)
    assert set(statuses(build(shop, root, MONTHS[0])).values()) == {"unchanged"}
