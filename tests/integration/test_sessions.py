"""Sessions: no default changes their settings, the database must hold every text, and errors name their cause."""

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sample_dataset import HEADER, STRICT, client, connection, lake, load, names, put, ready_connection
from sample_source import OFFICE, create_office, department_names, office_snapshot

from deployments.local import embedded
from tasks.engine.errors import WarehouseError, WarehouseUnavailableError, errors_at, is_transient
from tasks.engine.export.exporter import Export, write_exports
from tasks.engine.settings import DatabaseSettings, WarehouseSettings, read_source, read_warehouse
from tasks.engine.warehouse.sessions import _MEANING, Connection, connect

pytestmark = [pytest.mark.usefixtures("bucket"), pytest.mark.xdist_group("roles")]

ODD = {
    "client_encoding": "LATIN1",
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Tokyo",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "extra_float_digits": "-15",
    "search_path": "shadow, pg_catalog",
    "statement_timeout": "1h",
    "lock_timeout": "1h",
    "idle_session_timeout": "1h",
    "idle_in_transaction_session_timeout": "1h",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "row_security": "on",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
}
"""Settings that a role, a database or an administrator may have made. Each value differs from the required one."""

Administrator = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def administrator(services: embedded.Services, database: str) -> Iterator[Administrator]:
    """An administrator in the test's database."""
    dsn = services.postgres.administrator_dsn if services.postgres else services.administration["WAREHOUSE_DSN"]
    with psycopg.connect(make_conninfo(dsn, dbname=_parts(database)["dbname"]), autocommit=True) as opened:
        yield opened
        for whose in _holders(database).values():
            opened.execute(sql.SQL("ALTER {} RESET ALL").format(whose))


def _parts(dsn: str) -> dict[str, str]:
    return {name: str(value) for name, value in conninfo_to_dict(dsn).items()}


def _holders(dsn: str) -> dict[str, sql.Composed]:
    role, name = sql.Identifier(_parts(dsn)["user"]), sql.Identifier(_parts(dsn)["dbname"])
    return {
        "role": sql.SQL("ROLE {}").format(role),
        "database": sql.SQL("DATABASE {}").format(name),
        "role in database": sql.SQL("ROLE {} IN DATABASE {}").format(role, name),
    }


Route = Callable[[str, str], None]


@pytest.fixture(
    params=["role", "database", "role in database", "PGOPTIONS", "DSN options", "DSN", "PG variables", "service"]
)
def route(
    request: pytest.FixtureRequest,
    administrator: Administrator,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Route]:
    """Return a function that changes a setting of later sessions. Each parameter is one way to change a setting."""
    kind: str = request.param
    options: list[str] = []

    def through(name: str, value: str) -> None:
        if kind in _holders(database):
            spelt = sql.SQL(value) if name == "search_path" else sql.Literal(value)
            administrator.execute(
                sql.SQL("ALTER {} SET {} = {}").format(_holders(database)[kind], sql.Identifier(name), spelt)
            )
            return
        options.append(f"-c {name}={value.replace(' ', chr(92) + ' ')}")
        if kind == "PGOPTIONS":
            monkeypatch.setenv("PGOPTIONS", " ".join(options))
        elif kind == "DSN options":
            monkeypatch.setenv("WAREHOUSE_DSN", make_conninfo(database, options=" ".join(options)))
        elif kind == "DSN" and name == "client_encoding":
            monkeypatch.setenv("WAREHOUSE_DSN", make_conninfo(database, client_encoding=value))
        elif kind == "service" and name == "client_encoding":
            file = tmp_path / "services.conf"
            lines = (f"{key}={part}" for key, part in (_parts(database) | {"client_encoding": value}).items())
            file.write_text("[odd]\n" + "\n".join(lines) + "\n")
            monkeypatch.setenv("PGSERVICEFILE", str(file))
            monkeypatch.setenv("WAREHOUSE_DSN", "service=odd")
        elif kind == "PG variables":
            variables = {"client_encoding": "PGCLIENTENCODING", "DateStyle": "PGDATESTYLE", "TimeZone": "PGTZ"}
            if name in variables:
                monkeypatch.setenv(variables[name], value)

    yield through
    monkeypatch.undo()


def test_every_session_has_the_settings_that_the_engine_relies_on(route: Route) -> None:
    for name, value in ODD.items():
        route(name, value)
    with connection() as opened:
        shown = {name: opened.execute(f"SHOW {name}").fetchone() for name in _MEANING}
        assert opened.info.encoding == "utf-8"
    assert shown == {name: (value,) for name, value in _MEANING.items()}


def test_text_is_stored_and_exported_unchanged_under_any_encoding_setting(route: Route) -> None:
    with ready_connection():
        pass
    route("client_encoding", "LATIN1")
    with connection() as opened:
        load(opened, put(HEADER + "Perú €,2021-04-03\n".encode()), settings=STRICT)
        assert names(opened) == ["Perú €"]
        query = sql.SQL("SELECT name, seen_date FROM things_staging.things")
        write_exports(opened, lake(), [Export("things", query)], prefix="out/", export_id="x")
    body = client().get_object(Bucket=os.environ["LAKE_BUCKET"], Key="out/x/things.csv")["Body"].read()
    assert body == "name,seen_date\nPerú €,2021-04-03\n".encode()


def test_function_of_another_schema_shadows_nothing(administrator: Administrator, database: str) -> None:
    administrator.execute(
        "CREATE SCHEMA shadow AUTHORIZATION pg_database_owner; GRANT USAGE ON SCHEMA shadow TO PUBLIC;"
        " CREATE FUNCTION shadow.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';"
        " CREATE FUNCTION shadow.lower(text) RETURNS text LANGUAGE sql AS 'SELECT ''shadow'''"
    )
    for whose in _holders(database).values():
        administrator.execute(sql.SQL("ALTER {} SET search_path = shadow, pg_catalog").format(whose))
    with connection() as opened:
        assert opened.execute("SELECT lower('A')").fetchone() == ("a",)


def test_session_that_would_check_no_foreign_key_is_refused(administrator: Administrator, database: str) -> None:
    administrator.execute(sql.SQL("ALTER {} SET session_replication_role = replica").format(_holders(database)["role"]))
    with pytest.raises(WarehouseError, match=r"session_replication_role = origin, found replica"), connection():
        pass


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def other_encoding(
    request: pytest.FixtureRequest, services: embedded.Services, database: str
) -> Iterator[tuple[str, str]]:
    """A database in another encoding, with that encoding."""
    dsn = services.postgres.administrator_dsn if services.postgres else services.administration["WAREHOUSE_DSN"]
    name = sql.Identifier("encoded")
    with psycopg.connect(dsn, autocommit=True) as opened:
        opened.execute(
            sql.SQL(
                "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING {} LOCALE 'C' LOCALE_PROVIDER libc"
            ).format(name, sql.Identifier(_parts(database)["user"]), sql.Literal(request.param))
        )
        yield request.param, make_conninfo(database, dbname="encoded")
        opened.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def test_database_that_is_not_utf_8_is_refused(
    other_encoding: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoding, dsn = other_encoding
    monkeypatch.setenv("WAREHOUSE_DSN", dsn)
    with pytest.raises(WarehouseError, match=f"encoded in UTF8, found {encoding}.*ENCODING 'UTF8'"), connection():
        pass


def test_source_in_latin_1_is_read_and_one_without_an_encoding_refused(other_encoding: tuple[str, str]) -> None:
    encoding, dsn = other_encoding
    with psycopg.connect(dsn, autocommit=True) as owner:
        create_office(owner, "Per\xfa")
    if encoding == "SQL_ASCII":
        with pytest.raises(WarehouseError, match=r"source session.*found SQL_ASCII"), office_snapshot(dsn):
            pass
        return
    with office_snapshot(dsn) as opened:
        assert department_names(opened) == ["Perú"]


def test_names_and_passwords_may_hold_any_letter(
    administrator: Administrator, services: embedded.Services, database: str
) -> None:
    dsn = services.postgres.administrator_dsn if services.postgres else services.administration["WAREHOUSE_DSN"]
    with psycopg.connect(dsn, autocommit=True) as opened:
        opened.execute("CREATE ROLE \"größe\" LOGIN PASSWORD 'pä ßw€rd'")
        opened.execute('CREATE DATABASE "dätabase" OWNER "größe" TEMPLATE template0')
        try:
            own = make_conninfo(database, user="größe", password="pä ßw€rd", dbname="dätabase")
            with connect(WarehouseSettings.model_validate({"dsn": own}), "Größe") as found:
                assert found.execute("SELECT current_user, current_database()").fetchone() == ("größe", "dätabase")
        finally:
            opened.execute('DROP DATABASE "dätabase" WITH (FORCE)')
            opened.execute('DROP ROLE "größe"')


def open_and_close(settings: DatabaseSettings) -> None:
    with connect(settings, "test"):
        pass


def no_block() -> dict[str, str]:
    raise AssertionError


@pytest.mark.parametrize("origin", ["WAREHOUSE_DSN", "block `warehouse`", "OFFICE_DSN", "secret login"])
def test_wrong_password_says_where_the_dsn_came_from(database: str, origin: str) -> None:
    parts = _parts(make_conninfo(database, password="hunter2"))
    dsn = make_conninfo(**parts)
    secret = f'{{"user": "{parts["user"]}", "password": "hunter2", "host": "{parts["host"]}", "port": {parts["port"]},'
    settings = {
        "WAREHOUSE_DSN": lambda: read_warehouse({"WAREHOUSE_DSN": dsn}, no_block),
        "block `warehouse`": lambda: read_warehouse({}, lambda: {"dsn": dsn}),
        "OFFICE_DSN": lambda: read_source(OFFICE, {"OFFICE_DSN": dsn}, lambda _: ""),
        "secret login": lambda: read_source(
            OFFICE, {"OFFICE_SECRET": "login"}, lambda _: secret + f'"database": "{parts["dbname"]}"}}'
        ),
    }[origin]()
    with pytest.raises(WarehouseError, match=f"28P01.*Correct the user or the password in {origin}") as caught:
        open_and_close(settings)
    assert "hunter2" not in str(caught.value)


def test_server_that_was_never_reached_is_not_a_lost_connection(database: str) -> None:
    dsn = make_conninfo(database, port=9, password="hunter2")
    settings = read_warehouse({"WAREHOUSE_DSN": dsn}, no_block)
    with pytest.raises(WarehouseUnavailableError) as caught, connect(settings, "test"):
        pass
    text = str(caught.value)
    assert "[unreachable]" in text
    assert "warehouse connection to 127.0.0.1:9" in text
    assert "the host and the port in WAREHOUSE_DSN" in text
    assert "lost" not in text
    assert "hunter2" not in text


@pytest.fixture
def postgres(database: str) -> Iterator[Connection]:
    del database
    with ready_connection() as opened:
        yield opened


def binary_copy(opened: Connection, data: bytes) -> None:
    opened.execute("CREATE TEMP TABLE pairs (a int, b numeric)")
    with opened.cursor().copy("COPY pg_temp.pairs FROM STDIN (FORMAT binary)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8) + data)


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (lambda own: own.execute("SELECT %s::text", ["a\0b"]), "value refused by the client.*NUL"),
        (lambda own: own.execute("SELECT 5 % 2", [1]), "statement refused by the client.*incomplete placeholder"),
        (lambda own: own.execute("SELECT %s", [1, 2]), "statement refused by the client"),
        (
            lambda own: own.execute("SELECT " + ", ".join(["%s"] * 70_000), [1] * 70_000),
            "statement refused by the client.*number of parameters",
        ),
        (
            lambda own: binary_copy(own, b"\0\2\0\0\0\4abcd\0\0\0\3abc\xff\xff"),
            r"08P01\] the server did not understand",
        ),
        (lambda own: binary_copy(own, b"\0\2\0\0\0\3abc"), r"22P04|08P01"),
    ],
)
def test_error_of_data_or_code_is_permanent_and_the_connection_stays_usable(
    postgres: Connection, refused: Callable[[Connection], object], words: str
) -> None:
    with pytest.raises(WarehouseError, match=words) as caught, errors_at("here"):
        refused(postgres)
    assert not is_transient(caught.value)
    assert not is_transient(caught.value.__cause__ or Exception())
    assert "lost" not in str(caught.value)
    assert postgres.execute("SELECT 1").fetchone() == (1,)


def test_connection_that_waited_too_long_in_a_transaction_is_lost_and_may_be_tried_again(postgres: Connection) -> None:
    with pytest.raises(WarehouseUnavailableError, match="25P03"), errors_at("here"):
        overstay(postgres)
    with pytest.raises(WarehouseUnavailableError, match="connection lost"), errors_at("here"):
        postgres.execute("SELECT 1")


def overstay(opened: Connection) -> None:
    with opened.transaction():
        opened.execute("SET LOCAL idle_in_transaction_session_timeout = '10ms'")
        select.select([opened.pgconn.socket], [], [], 30)  # until the server speaks
        opened.execute("SELECT 1")
