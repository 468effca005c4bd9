"""The procedures of docs/operations.md, on a made-up dataset."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from doctor_findings import outcome_of
from sample_dataset import HEADER, THINGS, load, names, put, ready_connection, ref, state

from deployments.local.postgres_binaries import find_binaries
from tasks.engine.backfill.finished_partitions import write_finished
from tasks.engine.backfill.planner import plan_backfill
from tasks.engine.backfill.staleness import PipelineInputs, read_current
from tasks.engine.doctor.ledger_state import LedgerState, check_balance, check_counts, check_rejected
from tasks.engine.doctor.warehouse_server import Warehouse
from tasks.engine.errors import ErrorBudgetError
from tasks.engine.lake.deliveries import Delivery
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.settings import RunSettings, WarehouseSettings
from tasks.engine.warehouse.tables import Connection, connect

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.usefixtures("database", "bucket")

RUNBOOK = Path(__file__).parents[2] / "docs" / "operations.md"
GOOD = HEADER + b"kite,2021-04-01\nlamp,2021-04-02\n"
BAD = b"mug,2021-04-99\n"


@pytest.fixture
def warehouse() -> Iterator[Connection]:
    with ready_connection(THINGS) as opened:
        yield opened


def statements(kind: str) -> list[str]:
    """The SQL blocks of the runbook whose first line is ```` ```kind ````."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", RUNBOOK.read_text(), re.DOTALL | re.MULTILINE)


def plan_states(warehouse: Connection) -> dict[str, str]:
    current = read_current(warehouse, PipelineInputs(THINGS), None, None, {})
    plan = plan_backfill(THINGS.dataset, "month", None, None, {"2021-04": Delivery((ref(),))}, current)
    return {each.partition: each.state for each in plan.partitions}


def assert_sound(warehouse: Connection) -> None:
    settings = WarehouseSettings.model_validate({"dsn": "dbname=x"})
    ledger_state = LedgerState(Warehouse(warehouse, settings), [THINGS], {})
    for check in (check_balance, check_counts, check_rejected):
        assert outcome_of(check, ledger_state) == "ok", check


def finish(warehouse: Connection) -> None:
    """Record a complete run of the month, as the last step of a flow does."""
    ids = [load_id for (load_id,) in warehouse.execute("SELECT load_id FROM ledger.loads WHERE status = 'loaded'")]
    write_finished(warehouse, THINGS.dataset, "2021-04", ids, [], "digest", None, {})


def test_queries_of_the_runbook_run(warehouse: Connection) -> None:
    assert len(statements("sql")) >= 3
    for query in statements("sql"):
        assert warehouse.execute(query.encode()).description


@pytest.mark.parametrize("allowed", [0, 1], ids=["failed", "succeeded"])
def test_section_on_bad_rows_shows_the_reason_of_a_load_that(warehouse: Connection, allowed: int) -> None:
    settings = RunSettings(max_rejected_rows=allowed, max_rejected_share=0)
    with nullcontext() if allowed else pytest.raises(ErrorBudgetError):
        load(warehouse, put(GOOD + BAD), settings=settings)
    section = RUNBOOK.read_text().partition("## A file has bad rows")[2].partition("\n## ")[0]
    queries = re.findall(r"^```sql\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    found = [f"{warehouse.execute(query.encode()).fetchall()}" for query in queries]
    assert ["expected a date" in rows for rows in found] == [bool(allowed), not allowed]


def test_previous_version_of_an_overwritten_object_replaces_the_wrong_one(
    warehouse: Connection, bucket: str, lake_administrator: "S3Client"
) -> None:
    lake_administrator.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    load(warehouse, put(GOOD))
    load(warehouse, put(HEADER + b"wrong,2021-04-01\nwrong,2021-04-02\n"))
    assert names(warehouse) == ["wrong", "wrong"]
    key = "2021/04/things.csv"
    versions = lake_administrator.list_object_versions(Bucket=bucket, Prefix=key)["Versions"]
    (previous,) = [each["VersionId"] for each in versions if not each["IsLatest"]]
    lake_administrator.copy_object(
        Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": key, "VersionId": previous}
    )
    load(warehouse, ref())
    assert names(warehouse) == ["kite", "lamp"]
    assert_sound(warehouse)


def test_forced_run_restores_rows_that_somebody_changed_or_deleted(warehouse: Connection) -> None:
    load(warehouse, put(GOOD))
    warehouse.execute("DELETE FROM things_staging.things WHERE name = 'kite'")
    warehouse.execute("UPDATE things_staging.things SET name = 'changed'")
    load(warehouse, ref(), force=True)
    assert names(warehouse) == ["kite", "lamp"]
    assert_sound(warehouse)


def test_backfill_finds_a_partition_that_was_truncated(warehouse: Connection) -> None:
    load(warehouse, put(GOOD))
    finish(warehouse)
    assert plan_states(warehouse) == {"2021-04": "unchanged"}
    warehouse.execute("TRUNCATE things_staging.things")
    assert plan_states(warehouse) == {"2021-04": "lost"}
    load(warehouse, ref(), force=True)
    assert names(warehouse) == ["kite", "lamp"]
    assert_sound(warehouse)


def test_restored_backup_continues_where_the_backup_ended(
    warehouse: Connection, database: str, new_database: Callable[[], AbstractContextManager[str]], tmp_path: Path
) -> None:
    load(warehouse, put(GOOD + BAD))
    finish(warehouse)
    before = state(warehouse)
    dump = tmp_path / "tally.dump"
    run_program("pg_dump", "--format=custom", "--no-owner", f"--file={dump}", database)
    with new_database() as restored, connect(WarehouseSettings.model_validate({"dsn": restored}), "test") as opened:
        run_program("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={restored}", str(dump))
        assert state(opened) == before
        assert apply_ddl(opened, [THINGS], []) == []
        assert plan_states(opened) == {"2021-04": "unchanged"}
        assert load(opened, ref()).status == "unchanged"
        corrected = load(opened, put(HEADER + b"new,2021-04-03\n" * 3))
        assert corrected.load_id > max(load_id for load_id, *_ in before["loads"])
        assert names(opened) == ["new"] * 3
        assert_sound(opened)


def test_retention_erases_rows_that_no_replay_needs_and_the_ledger_still_balances(warehouse: Connection) -> None:
    load(warehouse, put(GOOD + BAD))
    load(warehouse, put(GOOD + b"fig,never\n"))
    for days in (2, 800):
        warehouse.execute(
            "INSERT INTO ledger.load_attempts (dataset, partition, source_uri, source_version, size_bytes, status,"
            " error_class, examples, started_at, ended_at) VALUES ('things', '2021-04', 's3://b/k', 'v', 1, 'failed',"
            " 'X', '[1]', now() - make_interval(days => %s), now() - make_interval(days => %s))",
            [days, days],
        )
    (retention,) = statements("sql retention")
    warehouse.execute(retention.encode())
    raw = warehouse.execute("SELECT raw FROM ledger.rejected_rows ORDER BY rejected_row_id").fetchall()
    assert raw == [(b"",), (b"fig,never",)]
    failed = "SELECT examples FROM ledger.load_attempts WHERE status = 'failed'"
    assert warehouse.execute(failed).fetchall() == [([1],)]
    assert_sound(warehouse)
    warehouse.execute(retention.encode())  # again: nothing changes
    assert_sound(warehouse)


def run_program(name: str, *arguments: str) -> None:
    """Run a program of Postgres."""
    program = find_binaries(None) / name
    subprocess.run([program, *arguments], check=True, capture_output=True, timeout=120)
