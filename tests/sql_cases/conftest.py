"""One database, one connection and one transaction for the SQL cases of a module.

Each case is rolled back to a savepoint.

The transaction must end with the module: an open transaction makes the extraction of a source repeat rows.
"""

import secrets
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr
from sql_cases.case_runner import create_tables

from deployments.local import embedded
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.tables import Connection, connect

CreateDatabase = Callable[[str], str]


@pytest.fixture(scope="module")
def create_database(services: embedded.Services) -> Iterator[CreateDatabase]:
    """Create a database with some locale options, which the flows' role owns, and return its DSN."""
    administration, dsn = services.administration["WAREHOUSE_DSN"], services.environment["WAREHOUSE_DSN"]
    names = []
    with psycopg.connect(administration, autocommit=True) as connection:

        def create(locale: str) -> str:
            name = f"test_sql_cases_{secrets.token_hex(4)}"
            owner = sql.Identifier(str(conninfo_to_dict(dsn).get("user") or connection.info.user))
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ").format(sql.Identifier(name), owner)
                + sql.SQL(locale)
            )
            names.append(name)
            return make_conninfo(dsn, dbname=name)

        yield create
        for name in names:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def tables(services: embedded.Services, create_database: CreateDatabase) -> Iterator[Connection]:
    """All tables, empty. If the server has ICU, the database sorts by a dictionary's order, not by code point."""
    with psycopg.connect(services.administration["WAREHOUSE_DSN"]) as administration:
        has_icu = administration.execute("SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu'").fetchone()
    dsn = create_database("LOCALE_PROVIDER icu ICU_LOCALE 'en'" if has_icu else "")
    with (
        connect(WarehouseSettings(dsn=SecretStr(dsn)), "sql cases") as connection,
        connection.transaction(force_rollback=True),
    ):
        create_tables(connection)
        yield connection


@pytest.fixture
def connection(tables: Connection) -> Iterator[Connection]:
    with tables.transaction(force_rollback=True):
        yield tables
