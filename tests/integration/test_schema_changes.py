"""The DDL step on tables that hold rows of an earlier contract or file: safe changes are made, others are refused."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest
from sample_dataset import DAY_KEY, THINGS, connection, load, put

from tasks.contracts import Column, Contract, Partition
from tasks.contracts.types import BIGINT, DATE, INTEGER, NUMERIC, TEXT, TIMESTAMPTZ, ColumnType
from tasks.engine.build import sql_files
from tasks.engine.build.builder import build_tables
from tasks.engine.errors import CheckError, SchemaDriftError, WarehouseBusyError, WarehouseError, is_transient
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.warehouse import busy_tables
from tasks.engine.warehouse.tables import Connection

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

Span = Literal["plain", "month", "year"]
SPANS: Sequence[Span] = ("plain", "month", "year")
PARTITION = {"plain": "", "month": "2021-04", "year": "2021-04-01"}
TABLE = "things_staging.things"


def contract_of(*columns: Column, span: Span = "plain", **changes: Any) -> Contract:
    partitions = {
        "month": Partition(column="month", unit="month"),
        "year": Partition(column="day", unit="day", span="year"),
    }
    keys = ("things.csv",) if span == "plain" else ()
    key = DAY_KEY if span == "year" else THINGS.key
    return replace(THINGS, columns=columns, partition=partitions.get(span), key=key, keys=keys, **changes)


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with connection() as opened:
        yield opened


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(sql_files.ROOT / "ledger", tmp_path / "ledger")
    return tmp_path


def deploy(postgres: Connection, contract: Contract, data: bytes, span: Span = "plain") -> None:
    apply_ddl(postgres, [contract], [])
    load(postgres, put(data, partition=PARTITION[span]), contract=contract)


def rows(postgres: Connection, columns: str = "*", table: str = TABLE) -> list[tuple[Any, ...]]:
    return postgres.execute(f"SELECT {columns} FROM {table} ORDER BY 1".encode()).fetchall()


def shape(postgres: Connection, table: str = TABLE) -> list[tuple[str, str, bool]]:
    found = postgres.execute(
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid WHERE a.attnum > 0 AND NOT a.attisdropped"
        " AND a.attrelid IN (SELECT relid FROM pg_partition_tree(%s) UNION SELECT %s::regclass)"
        " ORDER BY 1, 2",
        [table, table],
    )
    return found.fetchall()


def apply_text(postgres: Connection, contract: Contract) -> str:
    with pytest.raises(SchemaDriftError) as caught:
        apply_ddl(postgres, [contract], [])
    return str(caught.value)


# Contracts


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize(
    ("old", "value", "new", "later"),
    [
        (INTEGER, "1998", BIGINT, "4294967296"),
        (NUMERIC(10, 2), "1.25", NUMERIC(12, 4), "1.2555"),
        (NUMERIC(10, 2), "1.25", NUMERIC(12, 2), "1.26"),
    ],
)
def test_wider_type_is_made_in_every_partition(
    postgres: Connection, span: Span, old: ColumnType, value: str, new: ColumnType, later: str
) -> None:
    deploy(postgres, contract_of(Column("x", old, "X."), span=span), f"x\n{value}\n".encode(), span)
    wider = contract_of(Column("x", new, "X."), span=span)
    assert apply_ddl(postgres, [wider], []) == [TABLE]
    assert [str(x).rstrip("0") for (x,) in rows(postgres, "x")] == [value]
    load(postgres, put(f"x\n{later}\n".encode(), partition=PARTITION[span]), contract=wider)
    assert [str(x) for (x,) in rows(postgres, "x")] == [later]
    assert apply_ddl(postgres, [wider], []) == []


@pytest.mark.parametrize("span", SPANS)
def test_column_is_added_and_not_null_dropped_in_every_partition(postgres: Connection, span: Span) -> None:
    deploy(postgres, contract_of(Column("x", TEXT, "X.", nullable=False), span=span), b"x\na\n", span)
    grown = contract_of(Column("x", TEXT, "Y."), Column("y", DATE, "New."), span=span, indexes=(("x",),))
    apply_ddl(postgres, [grown], [])
    assert rows(postgres, "x, y") == [("a", None)]
    load(postgres, put(b"x,y\n,2021-04-01\n", partition=PARTITION[span]), contract=grown)
    if span != "plain":
        another = {"month": "2021-05", "year": "2022-05-01"}[span]
        load(postgres, put(b"x,y\n,2021-04-01\n", "other.csv", another), contract=grown)
    assert all(not required for _, name, _, required in shape(postgres) if name in {"x", "y"})
    comments = postgres.execute("SELECT col_description(%s::regclass, attnum) FROM pg_attribute WHERE attrelid ="
                                " %s::regclass AND attname = 'x'", [TABLE, TABLE])  # fmt: skip
    assert comments.fetchone() == ("Y.",)
    assert postgres.execute("SELECT to_regclass('things_staging.things_x_ix') IS NOT NULL").fetchone() == (True,)


@pytest.mark.parametrize("span", SPANS)
def test_not_null_is_validated_or_refused_with_the_number_of_rows(postgres: Connection, span: Span) -> None:
    loose, strict = (contract_of(Column("x", TEXT, "X.", nullable=is_loose), Column("y", TEXT, "Y."), span=span)
                     for is_loose in (True, False))  # fmt: skip
    deploy(postgres, loose, b"x,y\na,1\n,2\n,3\n", span)
    text = apply_text(postgres, strict)
    assert "column x: expected NOT NULL, found NULL in 2 rows" in text
    assert 'ALTER COLUMN "x" SET NOT NULL' in text
    load(postgres, put(b"x,y\na,1\n", partition=PARTITION[span]), contract=loose)
    apply_ddl(postgres, [strict], [])
    load(postgres, put(b"x,y\nb,1\n", partition=PARTITION[span]), contract=strict)
    assert all(required for _, name, _, required in shape(postgres) if name == "x")


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize(
    ("old", "value", "new"),
    [
        (INTEGER, "1998", TEXT),
        (INTEGER, "1998", DATE),
        (TEXT, "1998", INTEGER),
        (BIGINT, "1998", TIMESTAMPTZ),
        (BIGINT, "1998", TEXT),
        (BIGINT, "1998", INTEGER),
        (NUMERIC(12, 4), "1.2555", NUMERIC(12, 2)),
        (NUMERIC(12, 2), "1.25", NUMERIC(12, 4)),
    ],
)
def test_type_that_is_no_widening_is_refused_with_its_statement(
    postgres: Connection, span: Span, old: ColumnType, value: str, new: ColumnType
) -> None:
    deploy(postgres, contract_of(Column("x", old, "X."), span=span), f"x\n{value}\n".encode(), span)
    before = rows(postgres)
    text = apply_text(postgres, contract_of(Column("x", new, "X."), span=span))
    assert "things_staging.things (contract things), column x: expected" in text
    assert 'ALTER TABLE "things_staging"."things" ALTER COLUMN "x" TYPE' in text
    assert rows(postgres) == before


def test_rename_is_refused_with_both_readings(postgres: Connection) -> None:
    deploy(postgres, contract_of(Column("x", TEXT, "X.")), b"x\na\n")
    text = apply_text(postgres, contract_of(Column("y", TEXT, "Y.")))
    for statement in ('RENAME COLUMN "x" TO "y"', 'DROP COLUMN "x"', 'ADD COLUMN "y" text'):
        assert statement in text
    assert rows(postgres, "x") == [("a",)]


def test_removed_column_is_refused(postgres: Connection) -> None:
    deploy(postgres, contract_of(Column("x", TEXT, "X."), Column("y", TEXT, "Y.")), b"x,y\na,b\n")
    assert 'DROP COLUMN "y"' in apply_text(postgres, contract_of(Column("x", TEXT, "X.")))


def test_required_column_is_refused_where_the_table_has_rows_and_added_where_not(postgres: Connection) -> None:
    one, two = Column("x", TEXT, "X."), Column("y", TEXT, "Y.", nullable=False)
    apply_ddl(postgres, [contract_of(one)], [])
    apply_ddl(postgres, [contract_of(one, two)], [])
    load(postgres, put(b"x,y\na,b\n"), contract=contract_of(one, two))
    three = Column("z", TEXT, "Z.", nullable=False)
    assert "NOT NULL without a default" in apply_text(postgres, contract_of(one, two, three))


def test_another_partitioning_is_refused(postgres: Connection) -> None:
    deploy(postgres, contract_of(Column("x", TEXT, "X.")), b"x\na\n")
    text = apply_text(postgres, contract_of(Column("x", TEXT, "X."), span="month"))
    assert "expected a partitioned table PARTITION BY LIST (month), found a table" in text


# Files

SALES = """\
-- grain: one day
-- key: day
-- sources: none
-- write disposition: replace partition (day)
CREATE TABLE IF NOT EXISTS shop.sales (
    day date NOT NULL,
    amount integer NOT NULL,
    note varchar(10),
    CONSTRAINT sales_day_pk PRIMARY KEY (day)
);
COMMENT ON COLUMN shop.sales.amount IS 'See shop.sales.';
"""
VIEW = """\
-- grain: one day
-- key: day
-- sources: shop.sales
-- write disposition: none; a view
CREATE OR REPLACE VIEW shop.totals AS SELECT day, amount FROM shop.sales;
COMMENT ON VIEW shop.totals IS 'Totals.';
"""
SECOND = """\
-- grain: one day
-- key: day
-- sources: shop.totals
-- write disposition: none; a view
CREATE OR REPLACE VIEW shop.doubled AS SELECT day, amount * 2 AS twice FROM shop.totals;
"""
Deploy = Callable[..., list[str]]


@pytest.fixture
def shop(postgres: Connection, root: Path) -> Deploy:
    def deploy_files(**texts: str) -> list[str]:
        for name, text in texts.items():
            folder = root / "shop" / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "table.sql").write_text(text, encoding="utf-8")
        return apply_ddl(postgres, [], ["shop"], root)

    deploy_files(sales=SALES, totals=VIEW, doubled=SECOND)
    postgres.execute("INSERT INTO shop.sales VALUES ('2021-04-01', 5, 'a'), ('2021-04-02', 6, NULL)")
    return deploy_files


def altered(old: str, new: str, text: str = SALES) -> str:
    assert old in text
    return text.replace(old, new)


def test_mart_gains_what_its_file_gained(postgres: Connection, shop: Deploy) -> None:
    text = altered("    amount integer NOT NULL,", "    amount bigint NOT NULL,\n    tax numeric(10, 2) DEFAULT 0,")
    text = altered("varchar(10)", "text", text)
    text = altered("PRIMARY KEY (day)", "PRIMARY KEY (day),\n    CONSTRAINT sales_amount_ck CHECK (amount > 0)", text)
    text += "CREATE INDEX IF NOT EXISTS sales_note_ix ON shop.sales (note);\nCOMMENT ON TABLE shop.sales IS '100 %';\n"
    assert shop(sales=text) == ["shop.sales"]
    assert [(str(t), a) for t, a in rows(postgres, "tax, amount", "shop.sales")] == [("0.00", 5), ("0.00", 6)]
    assert rows(postgres, "twice", "shop.doubled") == [(10,), (12,)]
    found = postgres.execute(
        "SELECT convalidated, obj_description('shop.sales'::regclass), to_regclass('shop.sales_note_ix')::text,"
        " obj_description('shop.totals'::regclass) FROM pg_constraint WHERE conname = 'sales_amount_ck'"
    )
    assert found.fetchone() == (True, "100 %", "shop.sales_note_ix", "Totals.")
    assert shop() == []


@pytest.mark.parametrize(
    ("old", "new", "statement"),
    [
        ("    note varchar(10),\n", "", 'DROP COLUMN "note"'),
        ("    note varchar(10),\n", "    remark varchar(10),\n", 'RENAME COLUMN "note" TO "remark"'),
        ("varchar(10)", "varchar(5)", 'ALTER COLUMN "note" TYPE character varying(5)'),
        ("amount integer", "amount numeric(10, 2)", 'ALTER COLUMN "amount" TYPE numeric(10,2)'),
        ("PRIMARY KEY (day)", "PRIMARY KEY (day, amount)", 'ADD CONSTRAINT "sales_day_pk" PRIMARY KEY (day, amount)'),
        ("note varchar(10)", "note varchar(10) NOT NULL", 'ALTER COLUMN "note" SET NOT NULL'),
        (
            "    note",
            "    row_id bigint GENERATED ALWAYS AS IDENTITY,\n    note",
            'ADD COLUMN "row_id" bigint GENERATED ALWAYS AS IDENTITY NOT NULL',
        ),
        ("    note", "    name uuid DEFAULT gen_random_uuid(),\n    note", "gen_random_uuid()"),
    ],
)
def test_unsafe_change_of_a_file_is_refused_and_names_it(
    postgres: Connection, shop: Deploy, old: str, new: str, statement: str
) -> None:
    with pytest.raises(SchemaDriftError) as caught:
        shop(sales=altered(old, new))
    assert "shop.sales (sql/shop/sales/table.sql)" in str(caught.value)
    assert statement in str(caught.value)
    assert rows(postgres, "amount", "shop.sales") == [(5,), (6,)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("integer NOT NULL", "integer GENERATED ALWAYS AS (1) STORED"),
        ("integer GENERATED ALWAYS AS (1) STORED", "integer GENERATED ALWAYS AS (2) STORED"),
    ],
)
def test_column_that_postgres_fills_otherwise_is_refused_with_both_definitions(
    shop: Deploy, first: str, second: str
) -> None:
    def table(amount: str) -> str:
        return SALES.replace("shop.sales", "shop.fees").replace("sales_", "fees_").replace("integer NOT NULL", amount)

    shop(fees=table(first))
    with pytest.raises(SchemaDriftError) as caught:
        shop(fees=table(second))
    assert f"column amount: expected {second}, found {first}" in str(caught.value)


def test_constraint_that_rows_break_is_refused_and_changes_nothing(postgres: Connection, shop: Deploy) -> None:
    text = altered("PRIMARY KEY (day)", "PRIMARY KEY (day),\n    CONSTRAINT sales_amount_ck CHECK (amount > 5)")
    with pytest.raises(WarehouseError, match=r"23514.*sales_amount_ck.*DDL of shop\.sales"):
        shop(sales=text + "COMMENT ON TABLE shop.sales IS 'new';\n")
    assert postgres.execute("SELECT obj_description('shop.sales'::regclass)").fetchone() == (None,)


@pytest.mark.parametrize("is_view_first", [False, True])
def test_table_and_view_of_one_name_are_refused_with_the_statement_that_drops_what_exists(
    postgres: Connection, root: Path, shop: Deploy, *, is_view_first: bool
) -> None:
    table = SALES.replace("shop.sales", "shop.latest").replace("sales_", "latest_")
    view = VIEW.replace("shop.totals", "shop.latest")
    first, second = (view, table) if is_view_first else (table, view)
    wanted, found = ("a table", "a view") if is_view_first else ("a view", "a table")
    shop(latest=first)
    with pytest.raises(SchemaDriftError) as caught:
        shop(latest=second)
    statement = f'DROP {found[2:].upper()} "shop"."latest"'
    assert f"(sql/shop/latest/table.sql), expected {wanted}, found {found}\n    {statement};" in str(caught.value)
    migrations = root / "shop" / "migrations"
    migrations.mkdir()
    (migrations / "0001_drop_latest.py").write_text(
        'from alembic import op\n\nrevision = "0001"\ndown_revision = None\n\n\n'
        f"def upgrade() -> None:\n    op.execute('{statement}')\n"
    )
    assert "shop.latest" in shop()
    assert rows(postgres, "amount", "shop.latest") == ([] if is_view_first else [(5,), (6,)])
    assert shop() == []


def test_changed_check_and_default_follow_the_file(postgres: Connection, shop: Deploy) -> None:
    first = altered("PRIMARY KEY (day)", "PRIMARY KEY (day),\n    CONSTRAINT sales_amount_ck CHECK (amount > 0)")
    shop(sales=first)
    shop(sales=altered("amount > 0", "amount >= 5", first).replace("varchar(10)", "varchar(10) DEFAULT 'none'"))
    postgres.execute("INSERT INTO shop.sales (day, amount) VALUES ('2021-04-03', 7)")
    assert rows(postgres, "note", "shop.sales WHERE amount = 7") == [("none",)]
    with pytest.raises(psycopg.errors.CheckViolation):
        postgres.execute("INSERT INTO shop.sales VALUES ('2021-04-04', 4)")


def test_view_is_replaced_and_keeps_its_rights(postgres: Connection, shop: Deploy) -> None:
    postgres.execute("GRANT SELECT ON shop.totals, shop.doubled TO PUBLIC")
    shop(totals=altered("day, amount", "day, amount::bigint AS amount, day + 1 AS next_day", VIEW))
    assert rows(postgres, "twice", "shop.doubled") == [(10,), (12,)]
    rights = postgres.execute(
        "SELECT relname FROM pg_class, aclexplode(relacl) AS a WHERE a.grantee = 0 AND privilege_type = 'SELECT'"
        " AND relnamespace = 'shop'::regnamespace ORDER BY 1"
    )
    assert rights.fetchall() == [("doubled",), ("totals",)]


def test_view_of_somebody_else_is_named(postgres: Connection, shop: Deploy) -> None:
    postgres.execute("CREATE VIEW shop.mine AS SELECT amount FROM shop.sales")
    with pytest.raises(SchemaDriftError, match=r"shop\.mine: Tally did not create this view"):
        shop(sales=altered("integer", "bigint"))


def test_unchanged_view_and_index_of_an_administrator_stay(postgres: Connection, shop: Deploy) -> None:
    postgres.execute("CREATE INDEX by_hand ON shop.sales (note)")
    with connection("analyst") as analyst, analyst.transaction():
        analyst.execute("SELECT * FROM shop.totals")
        assert shop(totals=VIEW.replace("-- key: day", "-- key: the day")) == ["shop.totals"]
    assert shop(sales=SALES + "COMMENT ON TABLE shop.sales IS 'new';\n") == ["shop.sales"]
    assert postgres.execute("SELECT to_regclass('shop.by_hand') IS NULL").fetchone() == (False,)


# A busy server


def test_open_transaction_of_an_analyst_is_named_in_time(
    postgres: Connection, shop: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(busy_tables, "PAUSES", (0.01,))
    monkeypatch.setattr("tasks.engine.schema.ddl.DDL_LOCK_WAIT", "100ms")
    changed = altered("    note", "    tax integer,\n    note")
    with connection("an analyst") as analyst, analyst.transaction():
        analyst.execute("SELECT * FROM shop.sales")
        with pytest.raises(WarehouseBusyError) as caught:
            shop(sales=changed)
        assert f"process {analyst.info.backend_pid} (an analyst" in str(caught.value)
        assert "idle in transaction, on shop.sales" in str(caught.value)
        assert is_transient(caught.value)
        with connection("reader") as reader:
            assert reader.execute("SELECT count(*) FROM shop.sales").fetchone() == (2,)
    assert shop(sales=changed) == ["shop.sales"]


def test_ddl_continues_when_the_analyst_ends_the_transaction(
    postgres: Connection, shop: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.engine.schema.ddl.DDL_LOCK_WAIT", "100ms")
    with connection("an analyst") as analyst:
        analyst.execute("BEGIN")
        analyst.execute("SELECT * FROM shop.sales")
        monkeypatch.setattr(busy_tables.time, "sleep", lambda _: analyst.execute("COMMIT"))
        assert shop(sales=altered("    note", "    tax integer,\n    note")) == ["shop.sales"]


# Tables that are gone


def test_dropped_staging_table_is_made_again_and_its_objects_are_loaded_again(postgres: Connection) -> None:
    contract = contract_of(Column("x", TEXT, "X."), span="month")
    apply_ddl(postgres, [contract], [])
    source = put(b"x\na\n")
    load(postgres, source, contract=contract)
    postgres.execute("DROP SCHEMA things_staging CASCADE")
    assert apply_ddl(postgres, [contract], []) == ["things_staging", TABLE, f"{TABLE}_ingested"]
    assert load(postgres, source, contract=contract).status == "loaded"
    assert rows(postgres, "x") == [("a",)]
    assert rows(postgres, "status", "ledger.loads") == [("loaded",), ("lost",)]


def test_dropped_mart_is_built_again(postgres: Connection, root: Path, shop: Deploy) -> None:
    query = SALES.split("CREATE", maxsplit=1)[0] + "SELECT %(day)s::date AS day, 7 AS amount"
    (root / "shop" / "sales" / "query.sql").write_text(query.replace("-- sources", "-- parameters: day\n-- sources"))

    def build() -> str:
        (receipt,) = build_tables(
            postgres, "shop", {"day": "2021-04-01"}, partition="2021-04-01", datasets=[], root=root
        )
        return receipt.status

    assert [build(), build()] == ["built", "unchanged"]
    postgres.execute("DROP TABLE shop.sales CASCADE")
    assert sorted(shop()) == ["shop.doubled", "shop.sales", "shop.totals"]
    assert build() == "built"
    assert rows(postgres, "amount", "shop.sales") == [(7,)]


def test_dropped_ledger_is_refused_if_rows_would_be_loaded_twice(postgres: Connection) -> None:
    contract = contract_of(Column("x", TEXT, "X."), span="month")
    deploy(postgres, contract, b"x\na\n", "month")
    postgres.execute("DROP SCHEMA ledger CASCADE")
    with pytest.raises(Exception, match=r"found 1 rows of load 1, which is not in ledger\.loads"):
        apply_ddl(postgres, [contract], [])
    apply_ddl(postgres, [], [])
    with pytest.raises(Exception, match="run reset for dataset things"):
        apply_ddl(postgres, [contract], [])


def test_older_ledger_gains_what_its_files_gained(postgres: Connection) -> None:
    apply_ddl(postgres, [], [])
    postgres.execute(
        "ALTER TABLE ledger.loads DROP CONSTRAINT loads_status_ck, ADD CONSTRAINT loads_status_ck"
        " CHECK (status IN ('loaded', 'superseded'))"
    )
    postgres.execute("ALTER TABLE ledger.loads DROP COLUMN columns")
    postgres.execute("UPDATE ledger.applied_files SET sha256 = 'older' WHERE path = 'ledger.loads'")
    assert apply_ddl(postgres, [], []) == ["ledger.loads"]
    assert "columns" in {name for _, name, _, _ in shape(postgres, "ledger.loads")}


# Tables that are made anew

NAMES = """\
-- grain: one name
-- key: month, name
-- sources: none
-- write disposition: replace partition (month)
-- rebuild: from query
CREATE TABLE IF NOT EXISTS shop.names (
    month date NOT NULL,
    name text NOT NULL,
    CONSTRAINT names_month_name_pk PRIMARY KEY (month, name)
);
COMMENT ON COLUMN shop.names.name IS 'Name.';
"""
NAMES_QUERY = """\
-- grain: one name
-- key: month, name
-- parameters: month
-- sources: things_staging.things
-- write disposition: replace partition (month)
SELECT month, x AS {column}, 5 AS number FROM things_staging.things WHERE month = %(month)s
"""


def test_declared_table_is_rebuilt_while_readers_continue(
    postgres: Connection, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = contract_of(Column("x", TEXT, "X."), span="month")
    deploy(postgres, contract, b"x\na\nb\n", "month")
    load(postgres, put(b"x\nc\n", "5.csv", "2021-05"), contract=contract)
    folder = root / "shop" / "names"
    folder.mkdir(parents=True)
    (folder / "table.sql").write_text(NAMES)
    (folder / "query.sql").write_text(NAMES_QUERY.format(column="name").replace(", 5 AS number", ""))
    apply_ddl(postgres, [contract], ["shop"], root)
    for month in ("2021-04", "2021-05"):
        build_tables(postgres, "shop", {"month": f"{month}-01"}, partition=month, datasets=["things"], root=root)
    postgres.execute("GRANT SELECT ON shop.names TO PUBLIC")

    renamed = NAMES.replace("    name text", "    label text").replace("(month, name)\n)", "(month, label)\n)")
    renamed = renamed.replace("names.name", "names.label").replace(
        "CONSTRAINT", "number integer NOT NULL,\n    CONSTRAINT"
    )
    (folder / "table.sql").write_text(renamed)
    (folder / "query.sql").write_text(NAMES_QUERY.format(column="label"))
    (folder / "checks.sql").write_text(
        "-- fail: no c\nSELECT 1 FROM shop.names WHERE month = %(month)s AND label = 'c'\n"
    )
    with pytest.raises(CheckError, match="no c"):
        apply_ddl(postgres, [contract], ["shop"], root)
    assert rows(postgres, "name", "shop.names") == [("a",), ("b",), ("c",)]
    (folder / "checks.sql").unlink()
    assert apply_ddl(postgres, [contract], ["shop"], root) == ["shop.names"]
    assert rows(postgres, "label, number", "shop.names") == [("a", 5), ("b", 5), ("c", 5)]
    assert rows(postgres, "count(*)", "ledger.builds") == [(0,)]
    right = postgres.execute("SELECT count(*) FROM pg_class, aclexplode(relacl) AS a WHERE a.grantee = 0"
                             " AND oid = 'shop.names'::regclass")  # fmt: skip
    assert right.fetchone() == (1,)
    assert apply_ddl(postgres, [contract], ["shop"], root) == []


@pytest.mark.parametrize("is_declared", [True, False])
@pytest.mark.parametrize(
    ("constraint", "code"),
    [
        ("CONSTRAINT names_name_uk UNIQUE (name)", "23505"),
        ("CONSTRAINT names_name_ck CHECK (name < 'c')", "23514"),
        ("CONSTRAINT names_name_fk FOREIGN KEY (name) REFERENCES shop.known", "23503"),
        ("UNIQUE INDEX", "23505"),
    ],
)
def test_declared_table_whose_rows_break_a_new_constraint_is_rebuilt(
    postgres: Connection, root: Path, constraint: str, code: str, *, is_declared: bool
) -> None:
    contract = contract_of(Column("x", TEXT, "X."), span="month")
    deploy(postgres, contract, b"x\na\nb\n", "month")
    load(postgres, put(b"x\na\nc\n", "5.csv", "2021-05"), contract=contract)
    for folder in ("names", "known"):
        (root / "shop" / folder).mkdir(parents=True)
    (root / "shop" / "known" / "table.sql").write_text(
        "-- sources: none\nCREATE TABLE IF NOT EXISTS shop.known (name text CONSTRAINT known_name_pk PRIMARY KEY);\n"
    )
    first = NAMES if is_declared else NAMES.replace("-- rebuild: from query\n", "")
    query = NAMES_QUERY.format(column="name").replace(", 5 AS number", "")
    (root / "shop" / "names" / "table.sql").write_text(first)
    (root / "shop" / "names" / "query.sql").write_text(query)
    apply_ddl(postgres, [contract], ["shop"], root)
    for month in ("2021-04", "2021-05"):
        build_tables(postgres, "shop", {"month": f"{month}-01"}, partition=month, datasets=["things"], root=root)
    postgres.execute("INSERT INTO shop.known VALUES ('a'), ('b')")

    index = "CREATE UNIQUE INDEX IF NOT EXISTS names_name_ux ON shop.names (name);\n"
    last = "PRIMARY KEY (month, name)"
    second = first + index if "INDEX" in constraint else first.replace(last, f"{last},\n    {constraint}")
    (root / "shop" / "names" / "table.sql").write_text(second)
    (root / "shop" / "names" / "query.sql").write_text(query.strip() + " AND month < '2021-05-01'\n")
    if not is_declared:
        with pytest.raises(WarehouseError, match=rf"{code}.*DDL of shop\.names"):
            apply_ddl(postgres, [contract], ["shop"], root)
        assert rows(postgres, "name", "shop.names") == [("a",), ("a",), ("b",), ("c",)]
        return
    assert apply_ddl(postgres, [contract], ["shop"], root) == ["shop.names"]
    assert rows(postgres, "name", "shop.names") == [("a",), ("b",)]
    assert rows(postgres, "count(*)", "ledger.builds") == [(0,)]
    assert apply_ddl(postgres, [contract], ["shop"], root) == []


def test_rebuild_whose_new_rows_break_the_constraint_changes_nothing(postgres: Connection, root: Path) -> None:
    contract = contract_of(Column("x", TEXT, "X."), span="month")
    deploy(postgres, contract, b"x\na\nb\n", "month")
    folder = root / "shop" / "names"
    folder.mkdir(parents=True)
    (folder / "table.sql").write_text(NAMES)
    (folder / "query.sql").write_text(NAMES_QUERY.format(column="name").replace(", 5 AS number", ""))
    apply_ddl(postgres, [contract], ["shop"], root)
    build_tables(postgres, "shop", {"month": "2021-04-01"}, partition="2021-04", datasets=["things"], root=root)
    last = "PRIMARY KEY (month, name)"
    (folder / "table.sql").write_text(NAMES.replace(last, f"{last},\n    CONSTRAINT names_ck CHECK (name < 'b')"))
    with pytest.raises(WarehouseError, match=r"23514.*DDL of shop\.names"):
        apply_ddl(postgres, [contract], ["shop"], root)
    assert rows(postgres, "name", "shop.names") == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("CREATE VIEW public.mine AS SELECT name FROM shop.names", "public.mine"),
        ("CREATE MATERIALIZED VIEW public.mine AS SELECT name FROM shop.names", "public.mine"),
        (
            "CREATE TABLE public.mine (m date, n text,"
            " CONSTRAINT mine_fk FOREIGN KEY (m, n) REFERENCES shop.names (month, name))",
            "constraint mine_fk on table public.mine",
        ),
        (
            "CREATE FUNCTION public.mine() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM shop.names;"
            " END",
            "function public.mine()",
        ),
        ("CREATE TABLE public.mine (row_of shop.names)", "column row_of of table public.mine"),
    ],
)
def test_rebuild_names_what_depends_on_the_table(postgres: Connection, root: Path, statement: str, name: str) -> None:
    contract = contract_of(Column("x", TEXT, "X."), span="month")
    deploy(postgres, contract, b"x\na\n", "month")
    folder = root / "shop" / "names"
    folder.mkdir(parents=True)
    (folder / "table.sql").write_text(NAMES)
    (folder / "query.sql").write_text(NAMES_QUERY.format(column="name").replace(", 5 AS number", ""))
    apply_ddl(postgres, [contract], ["shop"], root)
    build_tables(postgres, "shop", {"month": "2021-04-01"}, partition="2021-04", datasets=["things"], root=root)
    postgres.execute(statement.encode())
    (folder / "table.sql").write_text(NAMES.replace("    name text NOT NULL,", "    name varchar(9) NOT NULL,"))
    query = NAMES_QUERY.replace("x AS {column}, 5 AS number", "x::varchar(9) AS name")
    (folder / "query.sql").write_text(query)
    with pytest.raises(SchemaDriftError) as caught:
        apply_ddl(postgres, [contract], ["shop"], root)
    assert name in str(caught.value)
    assert rows(postgres, "name", "shop.names") == [("a",)]
    postgres.execute(f"DROP {' '.join(statement.split()[1 : 3 if 'MATERIALIZED' in statement else 2])} public.mine")
    assert apply_ddl(postgres, [contract], ["shop"], root) == ["shop.names"]


def test_rebuild_keeps_a_view_of_the_project(postgres: Connection, root: Path) -> None:
    contract = contract_of(Column("x", TEXT, "X."), span="month")
    deploy(postgres, contract, b"x\na\n", "month")
    for folder in ("names", "first"):
        (root / "shop" / folder).mkdir(parents=True)
    (root / "shop" / "names" / "table.sql").write_text(NAMES)
    query = root / "shop" / "names" / "query.sql"
    query.write_text(NAMES_QUERY.format(column="name").replace(", 5 AS number", ""))
    (root / "shop" / "first" / "table.sql").write_text(
        "-- sources: shop.names\n"
        "CREATE OR REPLACE VIEW shop.first AS SELECT min(names.month) AS month FROM shop.names;\n"
    )
    apply_ddl(postgres, [contract], ["shop"], root)
    build_tables(postgres, "shop", {"month": "2021-04-01"}, partition="2021-04", datasets=["things"], root=root)
    renamed = NAMES.replace("    name text", "    label text").replace("(month, name)\n)", "(month, label)\n)")
    (root / "shop" / "names" / "table.sql").write_text(renamed.replace("names.name", "names.label"))
    query.write_text(NAMES_QUERY.format(column="label").replace(", 5 AS number", ""))
    apply_ddl(postgres, [contract], ["shop"], root)
    assert rows(postgres, "month::text", "shop.first") == [("2021-04-01",)]
    assert rows(postgres, "label", "shop.names") == [("a",)]
