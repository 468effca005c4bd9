"""Runs every case, and holds that each query and each check has one."""

import re
from collections.abc import Callable

import pytest
from pydantic import SecretStr
from sql_cases.case_runner import CASES, Case, create_tables, locale_ordered_columns, run

from tasks.engine import sql_files
from tasks.engine.builder import run_checks
from tasks.engine.dispositions import write_touched
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse import Connection, connect

# Looks at the database, not at rows: it has a test of its own below.
LOCALE_CHECK = "the database's locale knows lower case beyond ASCII (else create it with a UTF-8 locale)"
FOUND = [Case(folder) for folder in sorted(CASES.glob("*/*/test_*/"))]
QUERIES = sorted(".".join(path.parent.parts[-2:]) for path in sql_files.ROOT.glob("*/*/query.sql"))
CHECKS = sorted(
    (".".join(path.parent.parts[-2:]), severity, name)
    for path in sql_files.ROOT.glob("*/*/checks.sql")
    for severity, name in re.findall(r"^-- (fail|warn): *(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    if name != LOCALE_CHECK
)


@pytest.mark.parametrize("case", FOUND, ids=lambda case: case.folder.relative_to(CASES).as_posix())
def test_answer_and_checks_are_as_expected(case: Case, connection: Connection) -> None:
    run(case, connection)


@pytest.mark.parametrize("address", QUERIES)
def test_query_orders_text_by_code_point(address: str, connection: Connection) -> None:
    case = next(case for case in FOUND if case.address == address)
    if case.table.text("touched.sql"):
        write_touched(connection, case.table, case.parameters)
    assert locale_ordered_columns(case.table.query, case.parameters, connection) == []


@pytest.mark.parametrize("address", QUERIES)
def test_query_has_a_case(address: str) -> None:
    assert address in {case.address for case in FOUND if case.has_answer}, f"no case with an expect.csv for {address}"


@pytest.mark.parametrize(("address", "severity", "name"), CHECKS)
def test_check_is_broken_in_a_case(address: str, severity: str, name: str) -> None:
    broken = {check[:2] for case in FOUND if case.address == address for check in case.expected_checks}
    assert (severity, name) in broken, f"no case of {address} breaks {severity}: {name}"


def test_locale_check_is_broken_in_a_database_without_locale(create_database: Callable[[str], str]) -> None:
    dsn = create_database("ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C'")
    with connect(WarehouseSettings(dsn=SecretStr(dsn)), "sql cases") as connection:
        create_tables(connection)
        table = sql_files.sql_table("events_marts.event_counts_by_user")
        broken = run_checks(connection, table, {"month": "2021-04-01"})
    assert [(check.severity, check.name) for check in broken] == [("warn", LOCALE_CHECK)]
