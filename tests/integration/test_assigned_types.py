"""A build refuses a query column that Postgres would convert to the type of the table's column without an error."""

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tasks.engine.build import sql_files
from tasks.engine.build.assignments import keeps_values
from tasks.engine.build.builder import build_tables
from tasks.engine.build.dispositions import write_query
from tasks.engine.errors import Permanent, SqlFileError, WarehouseError
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.tables import Connection, connect

pytestmark = pytest.mark.ledger


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(WarehouseSettings(dsn=SecretStr(database)), "assigned types") as connection:
        yield connection


def put(root: Path, file: str, text: str) -> None:
    path = root / "shop" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def make(root: Path, type_: str, expression: str, disposition: str = "replace table") -> None:
    """A table with a key and one value, and a query that gives the value by an expression."""
    shutil.copytree(sql_files.ROOT / "ledger", root / "ledger", dirs_exist_ok=True)
    kind = "-- write disposition: fill shared table\n" if disposition == "fill shared table" else ""
    put(
        root,
        "sums/table.sql",
        f"-- sources: none\n{kind}CREATE TABLE IF NOT EXISTS shop.sums (\n"
        f"    day date NOT NULL CONSTRAINT sums_day_pk PRIMARY KEY, amount {type_}\n);\n",
    )
    put(
        root,
        "sums/query.sql",
        f"-- key: day\n-- sources: none\n-- write disposition: {disposition}\n"
        f"SELECT '2021-04-01'::date AS day, {expression} AS amount\n",
    )
    if disposition.startswith("merge"):
        put(root, "sums/affected_keys.sql", "-- sources: none\nSELECT '2021-04-01'::date AS day\n")


def build(connection: Connection, root: Path, **parameters: Any) -> list[tuple[Any, ...]]:
    apply_ddl(connection, [], ["shop"], root)
    build_tables(connection, "shop", {"day": date(2021, 4, 1), **parameters}, partition="2021-04-01", root=root)
    return connection.execute("SELECT amount FROM shop.sums").fetchall()


def written(connection: Connection, root: Path) -> list[tuple[Any, ...]]:
    """The values that a build writes to a new table; the transaction is rolled back."""
    table = sql_files.sql_table("shop.sums", root)
    with connection.transaction(force_rollback=True):
        connection.execute("CREATE SCHEMA shop")
        connection.execute(table.text("table.sql"))
        write_query(connection, table, {})
        return connection.execute("SELECT amount FROM shop.sums").fetchall()


CHANGED = [
    ("numeric(14,2)", "1.255::numeric", "numeric"),
    ("numeric(14,2)", "1.255::numeric(14,3)", "numeric(14,3)"),
    ("numeric(14,2)", "(SELECT avg(v.x) FROM (VALUES (1.005), (1.006)) AS v (x))", "numeric"),
    ("numeric(6,2)", "1::bigint", "bigint"),
    ("integer", "1.5::numeric", "numeric"),
    ("integer", "1.5::double precision", "double precision"),
    ("bigint", "2.5::real", "real"),
    ("integer", "1::bigint", "bigint"),
    ("real", "1.1::double precision", "double precision"),
    ("date", "'2021-04-01 10:00+00'::timestamptz", "timestamp with time zone"),
    ("date", "'2021-04-01 10:00'::timestamp", "timestamp without time zone"),
    ("time", "'2021-04-01 10:00'::timestamp", "timestamp without time zone"),
    ("timestamp", "'2021-04-01 10:00+00'::timestamptz", "timestamp with time zone"),
    ("timestamptz", "'2021-04-01 10:00'::timestamp", "timestamp without time zone"),
    ("timestamptz(3)", "'2021-04-01 10:00:00.123456+00'::timestamptz", "timestamp with time zone"),
    ("time(0)", "'10:00:00.6'::time", "time without time zone"),
    ("interval(0)", "'1.6 s'::interval", "interval"),
    ("char(5)", "'ab'::text", "text"),
    ("char(5)", "'ab'::char(2)", "character(2)"),
    ("text", "'ab'::char(5)", "character(5)"),
    ("varchar(3)", "'abc   '::text", "text"),
    ("varchar(3)", "'abc   '::varchar(8)", "character varying(8)"),
    ("varchar(3)", "concat('abc', '  ')", "text"),
    ("jsonb", """'{"a": 1, "a": 2}'::json""", "json"),
    ("text", "1", "integer"),
    ("integer", "'1'::text", "text"),
    ("integer[]", "ARRAY[1.5]", "numeric[]"),
    ("numeric(14,2)[]", "ARRAY[1.255]::numeric[]", "numeric[]"),
    ("varchar(2)[]", "ARRAY['ab  ']::text[]", "text[]"),
]


def test_a_type_that_could_change_a_value_is_refused(connection: Connection, tmp_path: Path) -> None:
    for type_, expression, found in CHANGED:
        make(tmp_path, type_, expression)
        with pytest.raises(SqlFileError) as caught:
            written(connection, tmp_path)
        message = str(caught.value)
        assert message.startswith("sql/shop/sums/query.sql: column amount: expected "), (type_, expression)
        assert f", as shop.sums has, found {found}: " in message, (type_, expression)
        assert "Cast in the query, e.g. round(x, 2)::numeric(14,2)" in message
        assert isinstance(caught.value, Permanent)


@pytest.mark.parametrize(
    "disposition",
    [
        "replace table",
        "replace partition (day)",
        "merge by (day)",
        "append",
        "append, change all but (day)",
        "fill shared table",
    ],
)
def test_every_write_disposition_refuses_a_rounded_value(
    disposition: str, connection: Connection, tmp_path: Path
) -> None:
    make(tmp_path, "numeric(14,2)", "1.255::numeric", disposition)
    with pytest.raises(SqlFileError, match=r"column amount: expected numeric\(14,2\).*found numeric:"):
        build(connection, tmp_path)
    make(tmp_path, "numeric(14,2)", "1.255::numeric(14,2)", disposition)
    assert [str(value) for (value,) in build(connection, tmp_path)] == ["1.26"]


def test_affected_keys_refuse_a_type_that_could_change_a_key(connection: Connection, tmp_path: Path) -> None:
    make(tmp_path, "integer", "1", "merge by (day)")
    put(tmp_path, "sums/affected_keys.sql", "-- sources: none\nSELECT '2021-04-01 10:00+00'::timestamptz AS day\n")
    with pytest.raises(
        SqlFileError, match=r"sums/affected_keys\.sql: column day: expected date, .*found timestamp with"
    ):
        build(connection, tmp_path)


SAME = [
    ("numeric(14,2)", "1.25::numeric(10,2)"),
    ("numeric", "1.255::numeric(10,3)"),
    ("numeric", "1::bigint"),
    ("numeric(12,2)", "1::integer"),
    ("bigint", "1"),
    ("integer", "1::smallint"),
    ("double precision", "1.1::real"),
    ("text", "'ab'::varchar(5)"),
    ("varchar(5)", "'ab'::varchar(2)"),
    ("timestamptz", "'2021-04-01 10:00+00'::timestamptz(3)"),
    ("timestamptz(6)", "'2021-04-01 10:00+00'::timestamptz"),
    ("bigint[]", "ARRAY[1]"),
    ("integer", "NULL"),
    ("varchar(3)", "NULL"),
    ("numeric(14,2)", "NULL"),
    ("jsonb", "NULL"),
    ("varchar(3)", "'abc'"),
    ("char(3)", "'abc'"),
    ("varchar(3)", r"'\q'"),
    ("date", "'2021-04-01'"),
    ("integer", "'12'"),
    ("jsonb", """'{"a": 1}'"""),
]


def test_a_type_that_keeps_each_value_and_an_untyped_literal_are_written(
    connection: Connection, tmp_path: Path
) -> None:
    for type_, expression in SAME:
        make(tmp_path, type_, expression)
        expected = connection.execute(f"SELECT {expression}::{type_}").fetchall()
        assert written(connection, tmp_path) == expected, (type_, expression)


def test_a_text_parameter_counts_as_an_untyped_literal(connection: Connection, tmp_path: Path) -> None:
    make(tmp_path, "varchar(9)", "%(name)s")
    assert build(connection, tmp_path, name="pen") == [("pen",)]


def test_a_domain_has_the_type_that_it_is_made_of(connection: Connection, tmp_path: Path) -> None:
    connection.execute("CREATE DOMAIN public.money_amount AS numeric(14,2) CHECK (value >= 0)")
    make(tmp_path, "public.money_amount", "1.255::numeric")
    with pytest.raises(SqlFileError, match=r"expected numeric\(14,2\).*found numeric:"):
        build(connection, tmp_path)
    make(tmp_path, "public.money_amount", "1.25::numeric(14,2)")
    assert [str(value) for (value,) in build(connection, tmp_path)] == ["1.25"]


def test_a_column_that_the_table_has_not_is_named(connection: Connection, tmp_path: Path) -> None:
    make(tmp_path, "integer", "1, 2 AS other")
    put(
        tmp_path,
        "sums/query.sql",
        "-- key: day\n-- sources: none\n-- write disposition: replace table\n"
        "SELECT '2021-04-01'::date AS day, 1 AS x\n",
    )
    with pytest.raises(SqlFileError, match=r"expected columns of shop.sums \(day, amount\), found x"):
        build(connection, tmp_path)


def test_a_rebuild_refuses_a_rounded_value(connection: Connection, tmp_path: Path) -> None:
    make(tmp_path, "numeric(14,3)", "1.255::numeric(14,3)")
    build(connection, tmp_path)
    path = tmp_path / "shop" / "sums" / "table.sql"
    text = path.read_text(encoding="utf-8").replace("numeric(14,3)", "numeric(14,2)")
    path.write_text(f"-- rebuild: from query\n{text}", encoding="utf-8")
    with pytest.raises(SqlFileError, match=r"column amount: expected numeric\(14,2\).*found numeric\(14,3\)"):
        apply_ddl(connection, [], ["shop"], tmp_path)
    assert [str(value) for (value,) in connection.execute("SELECT amount FROM shop.sums")] == ["1.255"]


def test_integers_keep_their_values_where_their_digits_fit() -> None:
    assert keeps_values("integer", "numeric(10,0)")
    assert not keeps_values("integer", "numeric(10,1)")
    assert not keeps_values("integer", "double precision")


def test_an_error_of_the_query_itself_is_that_of_postgres(connection: Connection, tmp_path: Path) -> None:
    make(tmp_path, "integer", "missing_column")
    with pytest.raises(WarehouseError, match="42703"):
        build(connection, tmp_path)
