"""The views of the ledger: the state of datasets and partitions, the history, open rejections and freshness."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sample_dataset import HEADER, STRICT, THINGS, connection, load, put

from tasks.contracts import Contract
from tasks.contracts.expectations import Expected
from tasks.engine.errors import ErrorBudgetError
from tasks.engine.load.rejections import rejected_loads
from tasks.engine.load.replay import replay_load
from tasks.engine.schema import ddl
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.warehouse.tables import Connection

pytestmark = pytest.mark.usefixtures("database", "bucket")

BAD = b"name,day\na,2021-04-01\nb,x\n,2021-04-01\nc\n"


@pytest.fixture
def postgres(database: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    monkeypatch.setattr(ddl, "all_contracts", lambda: {"things": THINGS})
    with connection() as opened:
        apply_ddl(opened, [THINGS], [])
        yield opened


def rows(postgres: Connection, view: str, columns: str, where: str = "true") -> list[tuple[Any, ...]]:
    query = f"SELECT {columns} FROM ledger.{view} WHERE {where} ORDER BY {columns}"
    return postgres.execute(query.encode()).fetchall()


def load_month(postgres: Connection, month: str, data: bytes = HEADER + b"a,\n", **options: Any) -> None:
    load(postgres, put(data, f"{month.replace('-', '/')}/things.csv", month), **options)


def fail_month(postgres: Connection, month: str) -> None:
    with pytest.raises(ErrorBudgetError):
        load_month(postgres, month, HEADER + b"a,x\n", settings=STRICT)


def kill_attempt(postgres: Connection, month: str) -> None:
    """Leave an attempt as a killed process leaves it: started, by a session that is gone."""
    with connection("killed") as other:
        row = other.execute("SELECT pg_backend_pid()").fetchone()
    postgres.execute(
        "INSERT INTO ledger.load_attempts (dataset, partition, source_uri, source_version, size_bytes, backend_pid)"
        " VALUES ('things', %s, %s, 'v', 1, %s)",
        [month, f"s3://b/{month}", row and row[0]],
    )


def test_views_of_an_empty_ledger_list_the_datasets_alone(postgres: Connection) -> None:
    assert rows(postgres, "dataset_status", "dataset, is_active, partitions_loaded, row_count, last_success_at") == [
        ("things", True, 0, 0, None)
    ]
    for view in ("partition_status", "load_history", "open_rejections", "freshness"):
        assert postgres.execute(f"SELECT count(*) FROM ledger.{view}".encode()).fetchone() == (0,)


def test_status_counts_partitions_rows_and_gaps(postgres: Connection) -> None:
    for month in ("2020-11", "2020-12", "2021-03"):
        load_month(postgres, month, HEADER + b"a,\nb,\n")
    assert rows(postgres, "partition_status", "partition, state, rows_loaded, object_count") == [
        ("2020-11", "loaded", 2, 1),
        ("2020-12", "loaded", 2, 1),
        ("2021-01", "missing", 0, 0),
        ("2021-02", "missing", 0, 0),
        ("2021-03", "loaded", 2, 1),
    ]
    columns = "oldest_partition, newest_partition, partitions_loaded, partitions_missing, row_count, rows_rejected"
    assert rows(postgres, "dataset_status", columns) == [("2020-11", "2021-03", 3, 2, 6, 0)]
    (speed,) = rows(postgres, "dataset_status", "rows_per_second > 0, bytes_per_second > 0, last_success_at <= now()")
    assert speed == (True, True, True)


def test_failed_attempt_shows_until_a_later_one_succeeds(postgres: Connection) -> None:
    load_month(postgres, "2021-04")
    fail_month(postgres, "2021-04")
    assert rows(postgres, "partition_status", "state, rows_loaded, error_class, failed_uri IS NOT NULL") == [
        ("failed", 1, "ErrorBudgetError", True)
    ]
    assert rows(postgres, "dataset_status", "partitions_failed, last_failure_partition, last_failure_class") == [
        (1, "2021-04", "ErrorBudgetError")
    ]
    load_month(postgres, "2021-04", HEADER + b"a,\nb,\n")
    assert rows(postgres, "partition_status", "state, rows_loaded, restatement_count, error_class") == [
        ("loaded", 2, 1, None)
    ]
    assert rows(postgres, "dataset_status", "partitions_failed, last_failure_class") == [(0, "ErrorBudgetError")]


def test_run_that_completes_later_clears_a_failure_without_a_new_load(postgres: Connection) -> None:
    load_month(postgres, "2021-04")
    fail_month(postgres, "2021-04")
    postgres.execute(
        "INSERT INTO ledger.finished_partitions (dataset, partition, load_ids, schemas, sql_digest)"
        " VALUES ('things', '2021-04', '{1}', '{}', '')"
    )
    assert rows(postgres, "partition_status", "state") == [("loaded",)]


def test_partition_that_only_failed_is_listed(postgres: Connection) -> None:
    fail_month(postgres, "2021-04")
    assert rows(postgres, "partition_status", "partition, state, object_count") == [("2021-04", "failed", 0)]
    assert rows(postgres, "dataset_status", "newest_partition, partitions_loaded, partitions_failed") == [(None, 0, 1)]


def test_attempt_of_a_dead_process_is_a_failure_and_of_a_live_one_is_not(postgres: Connection) -> None:
    kill_attempt(postgres, "2021-04")
    postgres.execute(
        "INSERT INTO ledger.load_attempts (dataset, partition, source_uri, source_version, size_bytes)"
        " VALUES ('things', '2021-05', 's3://b/live', 'v', 1)"
    )
    assert rows(postgres, "partition_status", "partition, state, is_running") == [
        ("2021-04", "failed", False),
        ("2021-05", "running", True),
    ]
    assert rows(postgres, "load_history", "status, error_message") == [
        ("died", "The process ended before it could record how."),
        ("running", None),
    ]
    assert rows(postgres, "dataset_status", "partitions_running, last_failure_status, last_failure_class") == [
        (1, "died", None)
    ]


def test_replay_and_its_load_count_together(postgres: Connection) -> None:
    load_month(postgres, "2021-04", BAD)
    assert rows(postgres, "partition_status", "state, rows_read, rows_loaded, rows_rejected, rows_unresolved") == [
        ("rejected", 4, 1, 3, 3)
    ]
    name, day = THINGS.columns
    fixed = replace(THINGS, columns=(name, replace(day, derive=_day_or_first)))
    (rejected,) = rejected_loads(postgres, "things", None)
    assert replay_load(postgres, fixed, rejected).rows_loaded == 1
    assert rows(postgres, "partition_status", "state, rows_read, rows_loaded, rows_rejected, rows_unresolved") == [
        ("rejected", 4, 2, 3, 2)
    ]
    assert rows(postgres, "load_history", "kind, status, load_status, rows_loaded") == [
        ("load", "loaded", "loaded", 1),
        ("replay", "loaded", "loaded", 1),
    ]
    load_month(postgres, "2021-04", HEADER + b"a,\n")
    assert rows(postgres, "partition_status", "state, rows_loaded, rows_unresolved, restatement_count") == [
        ("loaded", 1, 0, 1)
    ]
    assert rows(postgres, "open_rejections", "dataset") == []


def _day_or_first(text: str | None) -> str | None:
    return "2021-04-01" if text == "x" else text


def test_open_rejections_have_codes_lines_and_examples(postgres: Connection) -> None:
    load_month(postgres, "2021-04", BAD + b"d,y\n\xff,\n")
    found = rows(postgres, "open_rejections", "reason_code, column_name, row_count, example_lines, examples")
    assert found == [
        ("invalid_value", "day", 2, [3, 6], ["b,x", "d,y"]),
        ("missing_value", "name", 1, [4], [",2021-04-01"]),
        ("not_utf8", None, 1, [7], ["\\377,"]),
        ("too_few_fields", None, 1, [5], ["c"]),
    ]
    postgres.execute("UPDATE ledger.rejected_rows SET reason_code = NULL WHERE line_number = 5")
    assert rows(postgres, "open_rejections", "reason_code, example_lines", "example_lines = '{5}'") == [
        ("unknown", [5])
    ]


def test_examples_of_open_rejections_come_from_the_object_that_they_name(postgres: Connection) -> None:
    first = put(HEADER + b"a,x\n", "2021/04/first.csv")
    load(postgres, first)
    load(postgres, put(HEADER + b"b,2021-04-01\nc,y\n", "2021/04/second.csv"))
    found = rows(postgres, "open_rejections", "row_count, example_uri, example_lines, examples")
    assert found == [(2, first.uri, [2], ["a,x"])]


def test_bytes_that_are_not_ascii_are_octal_escapes_in_examples(postgres: Connection) -> None:
    load_month(postgres, "2021-04", HEADER + b'"\t\\\x7f\xff",x\n')
    assert rows(postgres, "open_rejections", "examples") == [(['"\t\\\\\x7f\\377",x'],)]


def test_lost_table_shows_as_lost(postgres: Connection) -> None:
    load_month(postgres, "2021-04")
    load_month(postgres, "2021-05")
    postgres.execute("DROP TABLE things_staging.things CASCADE")
    apply_ddl(postgres, [THINGS], [])
    load_month(postgres, "2021-05")
    assert rows(postgres, "partition_status", "partition, state, rows_loaded") == [
        ("2021-04", "lost", 0),
        ("2021-05", "loaded", 1),
    ]
    assert rows(postgres, "dataset_status", "partitions_lost, partitions_loaded, row_count") == [(1, 1, 1)]


def test_dataset_without_contract_keeps_its_status(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    load_month(postgres, "2021-04")
    monkeypatch.setattr(ddl, "all_contracts", dict)
    apply_ddl(postgres, [], [])
    assert rows(postgres, "dataset_status", "dataset, is_active, row_count, pipeline") == [
        ("things", False, 1, "things")
    ]
    postgres.execute("DELETE FROM ledger.datasets")
    assert rows(postgres, "dataset_status", "dataset, is_active, row_count, pipeline") == [("things", False, 1, None)]


def test_dataset_without_partitions_counts_its_last_attempt_for_any_object(postgres: Connection) -> None:
    whole = replace(THINGS, partition=None, key=None, keys=("a.csv", "b.csv"), dataset="whole", table="w_staging.whole")
    apply_ddl(postgres, [whole], [])
    with pytest.raises(ErrorBudgetError):
        load(postgres, put(HEADER + b"a,x\n", "a.csv", ""), contract=whole, settings=STRICT)
    state = "partition, state, rows_loaded"
    assert rows(postgres, "partition_status", state, "dataset = 'whole'") == [("", "failed", 0)]
    load(postgres, put(HEADER + b"a,\n", "b.csv", ""), contract=whole)
    assert rows(postgres, "partition_status", state, "dataset = 'whole'") == [("", "loaded", 1)]


def test_older_views_are_brought_up_to_date_with_those_that_read_them(postgres: Connection) -> None:
    load_month(postgres, "2021-04")
    wanted = postgres.execute(
        "SELECT viewname, definition FROM pg_views WHERE schemaname = 'ledger' ORDER BY 1"
    ).fetchall()
    postgres.execute("DROP VIEW ledger.partition_status CASCADE")
    postgres.execute("CREATE VIEW ledger.partition_status AS SELECT dataset, 1 AS old_column FROM ledger.load_history")
    postgres.execute("UPDATE ledger.applied_files SET sha256 = 'older' WHERE path = 'ledger.partition_status'")
    apply_ddl(postgres, [], [])
    found = postgres.execute(
        "SELECT viewname, definition FROM pg_views WHERE schemaname = 'ledger' ORDER BY 1"
    ).fetchall()
    assert found == wanted
    assert rows(postgres, "dataset_status", "partitions_loaded") == [(1,)]


# Freshness


def expecting(days: int, **changes: Any) -> Contract:
    return replace(THINGS, expected=Expected(days=days), **changes)


def deploy(postgres: Connection, monkeypatch: pytest.MonkeyPatch, contract: Contract) -> None:
    monkeypatch.setattr(ddl, "all_contracts", lambda: {contract.dataset: contract})
    apply_ddl(postgres, [], [])


def test_never_loaded_dataset_is_late_by_its_newest_due_partition(
    postgres: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(postgres, monkeypatch, expecting(2))
    ((partition, expected_by, is_newest, is_late, now),) = postgres.execute(
        "SELECT partition, expected_by, is_newest_due, late_by = now() - expected_by, now() FROM ledger.freshness"
    ).fetchall()
    expected = Expected(days=2)
    newest = expected.newest_due(now, "month")
    assert (partition, expected_by) == (f"{newest:%Y-%m}", expected.due(newest, "month"))
    assert (is_newest, is_late) == (True, True)


def test_freshness_has_each_due_partition_since_the_first(
    postgres: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(postgres, monkeypatch, expecting(2))
    load_month(postgres, "2021-04")
    count, late, first, newest = postgres.execute(
        "SELECT count(*), count(*) FILTER (WHERE late_by > interval '0'), min(partition),"
        " max(partition) FILTER (WHERE is_newest_due) FROM ledger.freshness"
    ).fetchone() or (0, 0, "", "")
    year, month = map(int, newest.split("-"))
    assert (first, count, late) == ("2021-04", (year - 2021) * 12 + month - 3, count)
    assert rows(
        postgres, "freshness", "arrived_at < loaded_at, loaded_at - expected_by = late_by", "loaded_at > '-infinity'"
    ) == [(True, True)]


def test_partition_that_is_loaded_in_time_is_not_late(postgres: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(postgres, monkeypatch, expecting(60_000))
    load_month(postgres, "2021-04")
    assert rows(postgres, "freshness", "partition, late_by, expected_by > now()") == [("2021-04", None, True)]


def test_dataset_without_partitions_is_late_after_a_day_without_a_load(
    postgres: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = expecting(1, partition=None, key=None, keys=("a.csv",), dataset="whole", table="w_staging.whole")
    apply_ddl(postgres, [whole], [])
    deploy(postgres, monkeypatch, whole)
    assert rows(postgres, "freshness", "partition, now() - expected_by = late_by", "dataset = 'whole'") == [("", True)]
    load(postgres, put(HEADER + b"a,\n", "a.csv", ""), contract=whole)
    assert rows(postgres, "freshness", "partition, late_by", "dataset = 'whole'") == [("", None)]
    postgres.execute("UPDATE ledger.loads SET loaded_at = now() - interval '3 days'")
    assert rows(postgres, "freshness", "late_by > '0'", "dataset = 'whole'") == [(True,)]


@pytest.mark.parametrize("change", [{"is_optional": True}, {"expected": None}], ids=["optional", "without-deadline"])
def test_dataset_without_a_deadline_is_never_late(
    postgres: Connection, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    deploy(postgres, monkeypatch, replace(expecting(2), **change))
    load_month(postgres, "2021-04")
    assert rows(postgres, "freshness", "partition, late_by") == [("2021-04", None)]
