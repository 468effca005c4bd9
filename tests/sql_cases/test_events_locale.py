"""The check of the database's locale, which no case can break."""

from collections.abc import Callable

from pydantic import SecretStr
from sql_cases.case_runner import LOCALE_CHECK, create_tables

from tasks.engine.build import sql_files
from tasks.engine.build.checks import run_checks
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.tables import connect


def test_locale_check_is_broken_in_a_database_without_locale(create_database: Callable[[str], str]) -> None:
    dsn = create_database("ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C'")
    with connect(WarehouseSettings(dsn=SecretStr(dsn)), "sql cases") as connection:
        create_tables(connection)
        table = sql_files.sql_table("events_marts.event_counts_by_user")
        broken = run_checks(connection, table, {"month": "2021-04-01"})
    assert [(check.severity, check.name) for check in broken] == [("warn", LOCALE_CHECK)]
