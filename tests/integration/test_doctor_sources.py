"""The doctor's check of operational databases, on a real one."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import psycopg
import psycopg.conninfo
import pytest
from declared_fixtures import Declare
from doctor_findings import only, outcome_of
from sample_source import OFFICE, create_office

from tasks.doctor.services import check_source, examine_sources

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def office(
    new_database: Callable[[], AbstractContextManager[str]], declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The DSN of the operational database, which OFFICE_DSN names."""
    declare(OFFICE)
    with new_database() as dsn:
        monkeypatch.setenv(OFFICE.dsn_variable, dsn)
        with psycopg.connect(dsn, autocommit=True) as owner:
            create_office(owner, "Sales")
        yield dsn


@pytest.mark.usefixtures("office")
def test_source_with_its_tables_is_reachable() -> None:
    assert outcome_of(check_source, OFFICE) == "ok"
    assert [each.finding.outcome for each in examine_sources() if each.area == "Source office"] == ["ok"]


def test_wrong_login_of_a_source_is_a_problem(office: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OFFICE.dsn_variable, psycopg.conninfo.make_conninfo(office, password="secret-one"))
    found = only(check_source(OFFICE), "problem")
    assert OFFICE.dsn_variable in found.next_step
    assert "secret-one" not in found.found


@pytest.mark.usefixtures("office")
def test_missing_table_of_a_source_is_a_problem() -> None:
    (department,) = OFFICE.tables
    lacking = replace(OFFICE, tables=(department, replace(department, name="floor")))
    assert "floor" in only(check_source(lacking), "problem").found


def test_source_without_a_login_is_not_checked(office: str, monkeypatch: pytest.MonkeyPatch) -> None:
    del office
    monkeypatch.delenv(OFFICE.dsn_variable)
    assert OFFICE.dsn_variable in only(check_source(OFFICE), "skipped").next_step
