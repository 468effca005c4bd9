"""`ledger.datasets`: the DDL step keeps the facts of all contracts in SQL, and writes only what changed."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, time
from typing import Any

import pytest
from psycopg import Connection as AnyConnection
from sample_dataset import THINGS, connection

from tasks.contracts import Contract
from tasks.contracts.catalog import contracts
from tasks.contracts.expectations import Expected
from tasks.engine.schema import ddl
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.warehouse.tables import Connection

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def postgres(database: str) -> Iterator[Connection]:
    del database  # it sets the environment
    with connection() as opened:
        yield opened


def rows(postgres: Connection, columns: str, where: str = "true") -> list[tuple[Any, ...]]:
    query = f"SELECT {columns} FROM ledger.datasets WHERE {where} ORDER BY dataset".encode()
    return postgres.execute(query).fetchall()


def deploy_catalog(monkeypatch: pytest.MonkeyPatch, *found: Contract) -> None:
    catalog: Mapping[str, Contract] = {contract.dataset: contract for contract in found}
    monkeypatch.setattr(ddl, "all_contracts", lambda: catalog)


def statements_of(
    postgres: Connection, monkeypatch: pytest.MonkeyPatch, contracts_: list[Contract]
) -> tuple[list[str], list[str]]:
    """Applied names and statements of a DDL step."""
    statements: list[str] = []
    execute = AnyConnection.execute

    def counted(self: AnyConnection[Any], query: Any, *args: Any, **options: Any) -> Any:
        statements.append(str(query))
        return execute(self, query, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(AnyConnection, "execute", counted)
        return apply_ddl(postgres, contracts_, []), statements


def test_each_contract_of_the_project_has_one_entry(postgres: Connection) -> None:
    apply_ddl(postgres, [], [])
    found = rows(postgres, "dataset, staging_table, partition_unit, partition_column, is_optional, is_active")
    assert found == [
        (
            name,
            contract.table,
            contract.partition and contract.partition.unit,
            contract.partition and contract.partition.column,
            contract.is_optional,
            True,
        )
        for name, contract in sorted(contracts().items())
    ]


def test_step_without_changes_costs_two_queries(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    apply_ddl(postgres, [THINGS], [])
    applied, statements = statements_of(postgres, monkeypatch, [THINGS])
    assert (applied, len(statements)) == ([], 2)


def test_changed_fact_is_written_once_and_alone(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(THINGS, dataset="others", table="others_staging.others", keys=("a.csv",), partition=None, key=None)
    deploy_catalog(monkeypatch, THINGS, other)
    apply_ddl(postgres, [], [])
    before = dict(rows(postgres, "dataset, changed_at"))
    deploy_catalog(monkeypatch, replace(THINGS, is_optional=True), other)
    assert apply_ddl(postgres, [], []) == ["ledger.datasets"]
    assert apply_ddl(postgres, [], []) == []
    after = dict(rows(postgres, "dataset, changed_at"))
    assert rows(postgres, "dataset, pipeline, is_optional") == [("others", "others", False), ("things", "things", True)]
    assert (after["others"] == before["others"], after["things"] > before["things"]) == (True, True)


def test_removed_contract_stays_as_inactive_and_returns(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy_catalog(monkeypatch, THINGS)
    apply_ddl(postgres, [], [])
    deploy_catalog(monkeypatch)
    assert apply_ddl(postgres, [], []) == ["ledger.datasets"]
    assert rows(postgres, "dataset, is_active") == [("things", False)]
    deploy_catalog(monkeypatch, THINGS)
    assert apply_ddl(postgres, [], []) == ["ledger.datasets"]
    assert rows(postgres, "dataset, is_active") == [("things", True)]


def test_contract_outside_the_catalog_stays_active_for_runs_of_other_versions(
    postgres: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy_catalog(monkeypatch)
    apply_ddl(postgres, [THINGS], [])
    apply_ddl(postgres, [], [])
    assert rows(postgres, "dataset, is_active") == [("things", True)]


def test_dropped_table_is_filled_again(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy_catalog(monkeypatch, THINGS)
    apply_ddl(postgres, [], [])
    postgres.execute("DROP TABLE ledger.datasets CASCADE")
    assert "ledger.datasets" in apply_ddl(postgres, [], [])
    assert rows(postgres, "dataset") == [("things",)]


def test_failed_ddl_leaves_the_entries_as_they_were(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy_catalog(monkeypatch, THINGS)
    apply_ddl(postgres, [THINGS], [])
    renamed = replace(THINGS, description="Another meaning.", columns=THINGS.columns[1:])
    deploy_catalog(monkeypatch, renamed)
    with pytest.raises(Exception, match="nothing was changed"):
        apply_ddl(postgres, [renamed], [])
    assert rows(postgres, "description") == [(THINGS.description,)]


def test_the_deadline_in_sql_equals_the_deadline_of_the_contract(
    postgres: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Expected(days=2, at=time(9, 30), timezone="America/New_York")
    deploy_catalog(monkeypatch, replace(THINGS, expected=expected))
    apply_ddl(postgres, [], [])
    due = postgres.execute(
        "SELECT ((month + interval '1 month - 1 day')::date + expected_days + expected_at) AT TIME ZONE"
        " expected_timezone FROM ledger.datasets, (VALUES (date '2021-02-01'), ('2021-07-01')) AS months (month)"
        " ORDER BY month"
    ).fetchall()
    assert [moment for (moment,) in due] == [expected.due(date(2021, month, 1), "month") for month in (2, 7)]


def test_a_dataset_without_a_deadline_has_null(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy_catalog(monkeypatch, THINGS)
    apply_ddl(postgres, [], [])
    assert rows(postgres, "expected_days, expected_at, expected_timezone") == [(None, None, None)]
