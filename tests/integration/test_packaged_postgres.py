"""The oldest packaged Postgres server, which demands TLS: connections, and every step of a pipeline over TLS."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import packaged_postgres
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sample_dataset import HEADER, STRICT, THINGS, connection, lake, load, names, put, ready_connection
from sample_visits import HEADER as VISIT_HEADER
from sample_visits import SQL, VISITS, visit_records
from tls import Authority, authority

from deployments.local.postgres_server import ROLE, Postgres
from tasks.contracts import Column
from tasks.contracts.keys import partition_value
from tasks.contracts.types import BIGINT, INTEGER, NUMERIC, TEXT
from tasks.engine.build.builder import build_tables
from tasks.engine.build.sql_files import ROOT, tables_of
from tasks.engine.errors import SchemaDriftError, WarehouseError, is_transient
from tasks.engine.export.exporter import export_of_table, write_exports
from tasks.engine.schema.ddl import apply_ddl

pytestmark = [pytest.mark.packaged_postgres, pytest.mark.usefixtures("bucket")]

MONTH = "2021-04"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that the server's account can access."""
    made = Path(tempfile.mkdtemp(prefix="tally-test-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def right(folder: Path) -> Authority:
    return authority(folder / "right")


@pytest.fixture(scope="module")
def wrong(folder: Path) -> Authority:
    return authority(folder / "wrong")


@pytest.fixture(scope="module")
def server(folder: Path, right: Authority) -> Iterator[Postgres]:
    with packaged_postgres.tls_server(folder / "server", right) as running:
        yield running


@pytest.fixture
def secure(server: Postgres, right: Authority, monkeypatch: pytest.MonkeyPatch) -> str:
    """The DSN of an empty database. `WAREHOUSE_DSN` is the same DSN with the right authority."""
    name, owner = sql.Identifier("own"), sql.Identifier(ROLE)
    with psycopg.connect(server.administrator_dsn, autocommit=True) as administrator:
        administrator.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        administrator.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner))
    dsn = make_conninfo(server.dsn, dbname="own")
    monkeypatch.setenv("WAREHOUSE_DSN", make_conninfo(dsn, sslmode="verify-full", sslrootcert=str(right.bundle)))
    return dsn


@pytest.mark.usefixtures("secure")
def test_server_is_old_and_the_connection_is_encrypted_and_verified() -> None:
    with connection() as opened:
        assert opened.info.server_version // 10_000 >= packaged_postgres.OLDEST_MAJOR
        assert opened.pgconn.ssl_in_use
        row = opened.execute("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
        assert row == (True, "TLSv1.3")


@pytest.mark.usefixtures("secure")
def test_object_is_loaded_and_replaced_over_tls() -> None:
    with ready_connection() as opened:
        load(opened, put(HEADER + "Perú,2021-04-03\n".encode()), settings=STRICT)
        assert names(opened) == ["Perú"]
        load(opened, put(HEADER + "Chile,2021-04-03\nPerú,\n".encode()), settings=STRICT)
        assert names(opened) == ["Chile", "Perú"]
        statuses = opened.execute("SELECT status FROM ledger.loads ORDER BY load_id").fetchall()
        assert statuses == [("superseded",), ("loaded",)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"sslmode": "disable"},
            r"no pg_hba.conf entry.*no encryption.*requires TLS.*sslmode=verify-full and sslrootcert in WAREHOUSE_DSN",
        ),
        ({"sslmode": "verify-full", "sslrootcert": "wrong"}, r"TLS.*certificate verify failed.*sslrootcert"),
        ({"sslmode": "verify-ca", "sslrootcert": "wrong"}, r"TLS.*certificate verify failed.*sslrootcert"),
        ({"sslmode": "verify-full", "sslrootcert": "/nowhere/ca.pem"}, r"TLS.*/nowhere/ca.pem.*sslrootcert"),
        ({"sslmode": "verify-full", "sslrootcert": "right", "host": "localhost"}, r"TLS.*does not match host name"),
        ({"sslmode": "verify-full", "sslrootcert": "system"}, r"TLS.*certificate verify failed.*sslrootcert"),
        (
            {"sslmode": "verify-full", "sslrootcert": "right", "password": "wrong"},
            r"28P01.*Correct the user or the password in WAREHOUSE_DSN",
        ),
    ],
)
def test_connection_with_other_options_is_a_permanent_error(
    secure: str,
    right: Authority,
    wrong: Authority,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, str],
    words: str,
) -> None:
    bundles = {"right": str(right.bundle), "wrong": str(wrong.bundle)}
    given = {name: bundles.get(value, value) if name == "sslrootcert" else value for name, value in options.items()}
    monkeypatch.setenv("WAREHOUSE_DSN", make_conninfo(secure, **given))
    with pytest.raises(WarehouseError, match=f"(?s){words}") as caught, connection():
        pass
    assert not is_transient(caught.value)


@pytest.mark.usefixtures("secure")
def test_ddl_step_creates_widens_and_refuses_on_the_oldest_version() -> None:
    first = replace(THINGS, columns=(Column("x", INTEGER, "X."), Column("y", NUMERIC(10, 2), "Y.")))
    wider = replace(
        THINGS,
        columns=(Column("x", BIGINT, "X."), Column("y", NUMERIC(12, 4), "Y."), Column("z", TEXT, "Z.")),
        indexes=(("x",),),
    )
    narrower = replace(THINGS, columns=(Column("x", INTEGER, "X."), *wider.columns[1:]), indexes=wider.indexes)
    with ready_connection(first) as opened:
        load(opened, put(b"x,y\n1998,1.25\n"), contract=first, settings=STRICT)
        assert apply_ddl(opened, [wider], []) == [THINGS.table, THINGS.ingested]
        load(opened, put(b"x,y,z\n4294967296,1.2555,a\n", "2021/05/things.csv", "2021-05"), contract=wider)
        rows = opened.execute("SELECT x, y::text, z FROM things_staging.things ORDER BY 1").fetchall()
        assert rows == [(1998, "1.2500", None), (4294967296, "1.2555", "a")]
        assert apply_ddl(opened, [wider], []) == []
        with pytest.raises(SchemaDriftError, match="column x"):
            apply_ddl(opened, [narrower], [])


@pytest.mark.usefixtures("secure")
def test_rows_are_loaded_built_and_exported_on_the_oldest_version(tmp_path: Path) -> None:
    root = shutil.copytree(SQL, tmp_path / "sql")
    shutil.copytree(ROOT / "ledger", root / "ledger")
    with connection() as opened:
        apply_ddl(opened, [VISITS], ["visits_marts"], root)
        source = put(VISIT_HEADER + visit_records(1_000) + b"none,\n" * 6)
        receipt = load(opened, source, contract=VISITS)
        assert (receipt.rows_loaded, receipt.rows_rejected) == (1_000, 6)
        builds = build_tables(
            opened, "visits_marts", {"month": partition_value(MONTH)}, partition=MONTH, contracts=[VISITS], root=root
        )
        tables = tables_of("visits_marts", root)
        assert len(builds) == len(tables)
        exports = [export_of_table(opened, table) for table in tables]
        receipts = write_exports(opened, lake(), exports, prefix="out/", export_id="default")
        assert {one.name: one.row_count for one in receipts} == {
            build.table.partition(".")[2]: build.row_count for build in builds
        }
        assert all(build.row_count for build in builds)
