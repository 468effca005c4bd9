"""Runs every case, and checks that each query and each check has one."""

import re

import pytest
from sql_cases.case_files import Case
from sql_cases.case_runner import CASES, LOCALE_CHECK, locale_ordered_columns, run

from tasks.engine.build import sql_files
from tasks.engine.build.assignments import written_columns
from tasks.engine.build.dispositions import write_affected_keys
from tasks.engine.warehouse.tables import Connection

FOUND = [Case(path) for path in sorted(CASES.glob("*/*/*.yaml"))]
QUERIES = sorted(".".join(path.parent.parts[-2:]) for path in sql_files.ROOT.glob("*/*/query.sql"))
BUILT = [address for address in QUERIES if sql_files.sql_table(address).is_built]
CHECKS = sorted(
    (".".join(path.parent.parts[-2:]), severity, name)
    for path in sql_files.ROOT.glob("*/*/checks.sql")
    for severity, name in re.findall(r"^-- (fail|warn): *(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    if name != LOCALE_CHECK
)


@pytest.mark.parametrize("case", FOUND, ids=lambda case: case.path.relative_to(CASES).with_suffix("").as_posix())
def test_answer_and_checks_are_as_expected(case: Case, connection: Connection) -> None:
    run(case, connection)


def test_every_file_is_a_case() -> None:
    files = {path for path in CASES.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}}
    assert sorted(files - {case.path for case in FOUND}) == [], "expected <schema>/<table>/<case>.yaml"


@pytest.mark.parametrize("address", QUERIES)
def test_query_orders_text_by_code_point(address: str, connection: Connection) -> None:
    case = next(case for case in FOUND if case.address == address)
    if case.table.text("affected_keys.sql"):
        write_affected_keys(connection, case.table, case.parameters)
    assert locale_ordered_columns(case.table.query, case.parameters, connection) == []


@pytest.mark.parametrize("address", BUILT)
def test_query_gives_the_types_of_its_table(address: str, connection: Connection) -> None:
    case = next(case for case in FOUND if case.address == address)
    if case.table.text("affected_keys.sql"):
        write_affected_keys(connection, case.table, case.parameters)
    assert written_columns(connection, case.table, case.table.query, case.parameters)


@pytest.mark.parametrize("address", QUERIES)
def test_query_has_a_case(address: str) -> None:
    answered = {case.address for case in FOUND if case.expected is not None}
    assert address in answered, f"no case of {address} has the key `expect`"


@pytest.mark.parametrize(("address", "severity", "name"), CHECKS)
def test_check_is_broken_in_a_case(address: str, severity: str, name: str) -> None:
    broken = {check[:2] for case in FOUND if case.address == address for check in case.expected_checks}
    assert (severity, name) in broken, f"no case of {address} breaks {severity}: {name}"


UNCOMMENTED = """
SELECT name FROM unnest(%(tables)s::text[]) AS name WHERE obj_description(name::regclass, 'pg_class') IS NULL
UNION ALL
SELECT concat_ws('.', name, attname)
FROM unnest(%(tables)s::text[]) AS name INNER JOIN pg_attribute ON attrelid = name::regclass
WHERE attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) IS NULL
"""


def uncommented(connection: Connection) -> list[str]:
    """Tables and views under `sql/` and their columns that have no comment."""
    tables = [".".join(path.parent.parts[-2:]) for path in sql_files.ROOT.glob("*/*/table.sql")]
    return [name for (name,) in connection.execute(UNCOMMENTED, {"tables": tables}).fetchall()]


def test_every_table_and_every_column_has_a_comment(connection: Connection) -> None:
    assert uncommented(connection) == []
    connection.execute("COMMENT ON TABLE ledger.loads IS NULL")
    connection.execute("COMMENT ON COLUMN ledger.loads.status IS NULL")
    assert sorted(uncommented(connection)) == ["ledger.loads", "ledger.loads.status"]
