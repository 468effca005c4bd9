"""Partitions with many files: files that are added, changed and removed, and success markers."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
from prefect import flow
from sample_dataset import (
    HEADER,
    STRICT,
    THINGS,
    TOLERANT,
    client,
    connection,
    lake,
    load,
    names,
    put,
    ready_connection,
)

from tasks.backfill import deliveries_in
from tasks.contracts import Contract, Partition
from tasks.contracts.keys import Unit
from tasks.engine.backfill.planner import BackfillPlan, plan_backfill
from tasks.engine.backfill.staleness import PipelineInputs, read_current
from tasks.engine.errors import ErrorBudgetError, MissingObjectError, SchemaDriftError, ShrinkError
from tasks.engine.load import delivery as delivery_module
from tasks.engine.load.delivery import known_loads, load_delivery, removed_loads
from tasks.engine.load.plan_text import terminal_text
from tasks.engine.receipts import LoadReceipt
from tasks.engine.settings import RunSettings
from tasks.engine.warehouse.tables import Connection
from tasks.extract import delivery_of, objects_of
from tasks.load import load_objects
from tasks.plan import ended_plan, planned_loads
from tasks.run_summary import ended_with
from tasks.transform import build_schemas

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

PARTS = replace(THINGS, prefix="lake/", key="year={year:04d}/month={month:02d}/part-*.csv")
MARKED = replace(PARTS, success_marker="_SUCCESS")
FOLDER = "lake/year=2021/month=04/"


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with ready_connection() as opened:
        yield opened


def deliver(*texts: str, folder: str = FOLDER) -> None:
    """Write a part file for each text, with the text as its name and its only row."""
    for text in texts:
        put(HEADER + f"{text},2021-04-01\n".encode(), f"{folder}part-{text}.csv")


def remove(*texts: str, folder: str = FOLDER) -> None:
    for text in texts:
        client().delete_object(Bucket=lake().bucket, Key=f"{folder}part-{text}.csv")


def run(
    postgres: Connection,
    contract: Contract = PARTS,
    settings: RunSettings = TOLERANT,
    *,
    force: bool = False,
) -> list[LoadReceipt]:
    return load_delivery(
        postgres,
        lake(),
        contract,
        "2021-04",
        lambda: delivery_of(lake(), contract, "2021-04"),
        settings,
        reconnect=connection,
        force=force,
    )


def statuses(receipts: list[LoadReceipt]) -> dict[str, str]:
    return {receipt.source_uri.rpartition("part-")[2].removesuffix(".csv"): receipt.status for receipt in receipts}


def plan(postgres: Connection, contract: Contract = PARTS) -> BackfillPlan:
    current = read_current(postgres, PipelineInputs(contract), None, None, {})
    return plan_backfill("things", "month", None, None, deliveries_in(contract, None, None), current)


def planned_state(postgres: Connection, contract: Contract = PARTS) -> str:
    (planned,) = plan(postgres, contract).partitions
    return planned.state


def ledger(postgres: Connection) -> list[tuple[str, str]]:
    rows = postgres.execute(
        "SELECT substring(source_uri FROM 'part-(.*)\\.csv'), status FROM ledger.loads ORDER BY load_id"
    )
    return [(str(name), str(status)) for name, status in rows]


def test_unchanged_objects_move_to_the_partitions_of_a_corrected_key_template(postgres: Connection) -> None:
    wrong = replace(PARTS, key="{year:04d}-{day:02d}-{month:02d}.csv", partition=Partition(column="month", unit="day"))
    right = replace(wrong, key="{year:04d}-{month:02d}-{day:02d}.csv")
    days = ["2021-04-05", "2021-05-04", "2021-06-06"]
    for day in days:
        put(HEADER + f"{day},{day}\n".encode(), f"lake/{day}.csv", day)

    def load_all(contract: Contract) -> list[tuple[str, str]]:
        """Load all days, the last one first. Return the day and the name of each row."""
        for day in reversed(days):
            listing = partial(delivery_of, lake(), contract, day)
            load_delivery(postgres, lake(), contract, day, listing, TOLERANT, reconnect=connection)
        rows = postgres.execute("SELECT month::text, name FROM things_staging.things ORDER BY 1")
        return [(str(month), str(name)) for month, name in rows]

    def states(contract: Contract) -> list[str]:
        current = read_current(postgres, PipelineInputs(contract), None, None, {})
        found = plan_backfill("things", "day", None, None, deliveries_in(contract, None, None), current)
        return [planned.state for planned in found.partitions if planned.object_count]

    def warnings() -> list[str]:
        found = postgres.execute("SELECT unnest(warnings) FROM ledger.load_attempts ORDER BY attempt_id").fetchall()
        return [str(text) for (text,) in found]

    assert load_all(wrong) == [(days[0], days[1]), (days[1], days[0]), (days[2], days[2])]
    assert warnings() == []
    assert states(right) == ["changed", "changed", "unfinished"]
    assert load_all(right) == [(day, day) for day in days]
    assert states(right) == ["unfinished"] * 3
    assert load(postgres, objects_of(lake(), right, days[0])[0], contract=right).status == "unchanged"
    (warning,) = warnings()  # the object of the other day left first
    assert f"moved from partition {days[0]} to {days[1]}, and no object is loaded into {days[0]} now" in warning
    assert warning.endswith("The next backfill or catch-up removes the rows of the tables that were built from it")


@pytest.mark.parametrize("first", ["month", "day"])
def test_other_unit_of_the_partitions_keeps_each_row_once_and_names_the_next_step(
    postgres: Connection, first: Unit
) -> None:
    months = replace(PARTS, key="{year:04d}-{month:02d}*.csv")
    days = replace(PARTS, key="{year:04d}-{month:02d}-{day:02d}.csv", partition=Partition(column="month", unit="day"))
    before, after = (months, days) if first == "month" else (days, months)
    for day in ("2021-04-01", "2021-04-02", "2021-05-02"):
        put(HEADER + f"{day},{day}\n".encode(), f"lake/{day}.csv", day)

    def load_all(contract: Contract) -> dict[str, str]:
        """Load all partitions. Return the errors of those that fail."""
        errors = {}
        for name in sorted(deliveries_in(contract, None, None)):
            listing = partial(delivery_of, lake(), contract, name)
            try:
                load_delivery(postgres, lake(), contract, name, listing, TOLERANT, reconnect=connection)
            except SchemaDriftError as error:
                errors[name] = str(error)
        rows = postgres.execute("SELECT name FROM things_staging.things ORDER BY 1").fetchall()
        assert rows == [("2021-04-01",), ("2021-04-02",), ("2021-05-02",)]
        return errors

    assert load_all(before) == {}
    errors = load_all(after)
    assert list(errors) == (["2021-04-01"] if first == "month" else ["2021-04"])
    for message in errors.values():
        assert "the unit of the partitions" in message
        assert message.endswith("run reset for dataset things and load it again")
    found = postgres.execute("SELECT DISTINCT unnest(warnings) FROM ledger.load_attempts").fetchall()
    moved = [str(text) for (text,) in found if "moved from partition 2021-05" in str(text)]
    assert len(moved) == 1
    assert "No run builds its tables any more, because the unit of the partitions changed" in moved[0]
    assert moved[0].endswith("run reset for dataset things, and then the pipeline for all partitions")


def test_first_delivery_is_loaded_and_marker_files_are_ignored(postgres: Connection) -> None:
    deliver("a", "b")
    for key in ("_SUCCESS", "_committed_1", ".part-a.csv.crc", "", "part-a.csv.bak"):
        put(b"x", FOLDER + key)
    assert statuses(run(postgres)) == {"a": "loaded", "b": "loaded"}
    assert names(postgres) == ["a", "b"]


def test_added_changed_and_removed_objects_are_noticed_and_loaded_together(postgres: Connection) -> None:
    deliver("a", "b", "c")
    run(postgres)
    assert planned_state(postgres) == "unfinished"
    deliver("d")
    assert planned_state(postgres) == "changed"
    put(HEADER + b"b2,2021-04-01\n", f"{FOLDER}part-b.csv")
    remove("c")
    (planned,) = plan(postgres).partitions
    assert (planned.state, len(planned.removed), planned.orphans) == ("changed", 1, ())
    assert statuses(run(postgres)) == {"a": "unchanged", "b": "replaced", "d": "loaded", "c": "removed"}
    assert names(postgres) == ["a", "b2", "d"]
    assert ledger(postgres) == [
        ("a", "loaded"), ("b", "superseded"), ("c", "removed"), ("b", "loaded"), ("d", "loaded")
    ]  # fmt: skip
    assert statuses(run(postgres)) == {"a": "unchanged", "b": "unchanged", "d": "unchanged"}
    assert planned_state(postgres) == "unfinished"


def test_new_part_names_replace_all_old_ones_and_readers_see_one_of_both(postgres: Connection) -> None:
    deliver("old1", "old2")
    run(postgres)
    remove("old1", "old2")
    deliver("new1", "new2", "new3")
    seen: set[tuple[str, ...]] = set()
    original = delivery_module.load_locked

    def watched(*arguments: object, **named: object) -> LoadReceipt:
        with connection() as reader:
            seen.add(tuple(names(reader)))
        return original(*arguments, **named)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delivery_module, "load_locked", watched)
        run(postgres)
    assert seen == {("old1", "old2")}
    assert names(postgres) == ["new1", "new2", "new3"]


def test_partition_without_any_object_keeps_its_rows(postgres: Connection) -> None:
    deliver("a", "b")
    run(postgres)
    remove("a", "b")
    assert run(postgres) == []
    assert names(postgres) == ["a", "b"]
    assert planned_state(postgres) == "orphaned"


def test_object_that_fails_leaves_the_old_delivery_and_ends_every_attempt(postgres: Connection) -> None:
    deliver("old")
    run(postgres)
    remove("old")
    deliver("new")
    put(HEADER + b"bad,no date\n", f"{FOLDER}part-zz.csv")
    with pytest.raises(ErrorBudgetError, match="part-zz"):
        run(postgres, settings=STRICT)
    assert names(postgres) == ["old"]
    assert ledger(postgres) == [("old", "loaded")]
    rows = postgres.execute("SELECT status, error_class FROM ledger.load_attempts ORDER BY attempt_id").fetchall()
    assert rows == [("loaded", None), ("failed", "ErrorBudgetError"), ("failed", "ErrorBudgetError")]


def test_removal_that_leaves_too_few_rows_needs_force(postgres: Connection) -> None:
    strict = TOLERANT.model_copy(update={"min_kept_share": 0.9})
    deliver("a", "b")
    run(postgres)
    remove("b")
    with pytest.raises(ShrinkError, match=r"things 2021-04: expected at least 2 rows to replace the 2 rows"):
        run(postgres, settings=strict)
    assert names(postgres) == ["a", "b"]
    assert statuses(run(postgres, settings=strict, force=True)) == {"a": "replaced", "b": "removed"}
    assert names(postgres) == ["a"]


def test_replacement_by_empty_part_files_needs_force(postgres: Connection) -> None:
    deliver("a", "b")
    run(postgres)
    remove("a", "b")
    put(HEADER, f"{FOLDER}part-c.csv")
    with pytest.raises(ShrinkError):
        run(postgres)
    assert names(postgres) == ["a", "b"]
    run(postgres, force=True)
    assert names(postgres) == []


def test_replacement_with_as_many_rows_keeps_its_share_also_on_a_retry(postgres: Connection) -> None:
    strict = TOLERANT.model_copy(update={"min_kept_share": 1.0})
    deliver("a", "b")
    run(postgres)
    remove("a", "b")
    deliver("c", "d")
    for source in objects_of(lake(), PARTS, "2021-04"):  # an earlier run loaded the new objects and died
        load(postgres, source, contract=PARTS)
    assert statuses(run(postgres, settings=strict)) == {
        "c": "unchanged", "d": "unchanged", "a": "removed", "b": "removed"
    }  # fmt: skip
    assert names(postgres) == ["c", "d"]


def test_rejected_rows_of_a_removed_object_are_closed_with_it(postgres: Connection) -> None:
    put(HEADER + b"x,no date\ny,2021-04-01\n", f"{FOLDER}part-bad.csv")
    deliver("good")
    run(postgres)
    remove("bad")
    run(postgres)
    assert postgres.execute("SELECT count(*) FROM ledger.open_rejections").fetchone() == (0,)
    assert postgres.execute("SELECT count(*) FROM ledger.rejected_rows").fetchone() == (1,)
    assert names(postgres) == ["good"]


def test_object_of_the_same_name_in_another_folder_is_another_object(postgres: Connection) -> None:
    contract = replace(PARTS, key="year={year:04d}/month={month:02d}/*/part-*.csv")
    deliver("a", folder=f"{FOLDER}x/")
    deliver("a", folder=f"{FOLDER}y/")
    assert len(run(postgres, contract)) == 2
    assert names(postgres) == ["a", "a"]
    remove("a", folder=f"{FOLDER}y/")
    run(postgres, contract)
    assert names(postgres) == ["a"]


def test_objects_of_an_earlier_prefix_are_replaced_and_not_counted_twice(postgres: Connection) -> None:
    deliver("a")
    run(postgres)
    moved = replace(PARTS, prefix="moved/")
    deliver("a", folder=FOLDER.replace("lake/", "moved/"))
    assert [receipt.status for receipt in run(postgres, moved)] == ["loaded", "removed"]
    assert names(postgres) == ["a"]


def test_two_runs_of_one_correction_load_it_once(postgres: Connection) -> None:
    deliver("old")
    run(postgres)
    remove("old")
    deliver("new1", "new2")
    together = threading.Barrier(2)

    def one_run(_: int) -> list[str]:
        with connection() as own:
            together.wait()
            return [receipt.status for receipt in run(own)]

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(one_run, range(2)))
    assert outcomes == [["loaded", "loaded", "removed"], ["unchanged", "unchanged"]]
    assert names(postgres) == ["new1", "new2"]


def test_object_that_another_run_loaded_meanwhile_is_not_removed(postgres: Connection) -> None:
    deliver("a", "b")
    run(postgres)
    remove("b")
    stale = delivery_of(lake(), PARTS, "2021-04")
    deliver("late")
    run(postgres)
    assert [entry.source_uri for entry in removed_loads(postgres, PARTS, "2021-04", stale)]  # of the stale listing
    run(postgres)
    assert names(postgres) == ["a", "late"]


def test_known_objects_are_found_with_one_comparison(postgres: Connection) -> None:
    deliver("a", "b", "c")
    run(postgres)
    put(HEADER + b"b2,2021-04-01\n", f"{FOLDER}part-b.csv")
    sources = objects_of(lake(), PARTS, "2021-04")
    assert statuses(known_loads(postgres, PARTS, "2021-04", sources)) == {"a": "unchanged", "c": "unchanged"}
    postgres.execute("DELETE FROM things_staging.things WHERE name = 'a'")
    assert statuses(known_loads(postgres, PARTS, "2021-04", sources)) == {"c": "unchanged"}


# ---- Success markers


def test_delivery_without_its_marker_is_not_delivered_yet(postgres: Connection) -> None:
    deliver("a", "b")
    with pytest.raises(MissingObjectError, match=r"things 2021-04 is not complete: expected .*/month=04/_SUCCESS"):
        objects_of(lake(), MARKED, "2021-04")
    assert objects_of(lake(), replace(MARKED, is_optional=True), "2021-04") == []
    assert planned_state(postgres, MARKED) == "incomplete"
    assert plan(postgres, MARKED).due == []
    put(b"", f"{FOLDER}_SUCCESS")
    assert planned_state(postgres, MARKED) == "new"
    assert statuses(run(postgres, MARKED)) == {"a": "loaded", "b": "loaded"}


def test_correction_waits_for_its_marker(postgres: Connection) -> None:
    deliver("old")
    put(b"", f"{FOLDER}_SUCCESS")
    run(postgres, MARKED)
    client().delete_object(Bucket=lake().bucket, Key=f"{FOLDER}_SUCCESS")
    remove("old")
    deliver("new")
    assert planned_state(postgres, MARKED) == "incomplete"
    assert run(postgres, MARKED) == []
    assert names(postgres) == ["old"]
    put(b"", f"{FOLDER}_SUCCESS")
    run(postgres, MARKED)
    assert names(postgres) == ["new"]


@pytest.mark.parametrize("folder", ["lake/", "lake/year=2021/", "lake/year=2021/month=05/", f"{FOLDER}sub/"])
def test_marker_outside_the_folder_of_the_partition_does_not_count(folder: str) -> None:
    deliver("a")
    put(b"", f"{folder}_SUCCESS")
    assert objects_of(lake(), replace(MARKED, is_optional=True), "2021-04") == []
    assert deliveries_in(MARKED, None, None)["2021-04"].sources == ()


def test_each_day_of_a_month_has_its_own_marker(postgres: Connection) -> None:
    contract = replace(MARKED, key="{year:04d}/{month:02d}/{day:02d}/part-*.csv")
    for day in (1, 2, 3):
        deliver(f"d{day}", folder=f"lake/2021/04/0{day}/")
    for day in (1, 2):
        put(b"", f"lake/2021/04/0{day}/_SUCCESS")
    assert statuses(run(postgres, contract)) == {"d1": "loaded", "d2": "loaded"}
    # Day 1 is written again: its marker is gone, and its new file is not complete.
    remove("d1", folder="lake/2021/04/01/")
    client().delete_object(Bucket=lake().bucket, Key="lake/2021/04/01/_SUCCESS")
    deliver("d1b", folder="lake/2021/04/01/")
    put(b"", "lake/2021/04/03/_SUCCESS")
    assert statuses(run(postgres, contract)) == {"d2": "unchanged", "d3": "loaded"}
    assert names(postgres) == ["d1", "d2", "d3"]
    put(b"", "lake/2021/04/01/_SUCCESS")
    run(postgres, contract)
    assert names(postgres) == ["d1b", "d2", "d3"]
    # The whole folder of day 2 was cleared: its rows remain.
    remove("d2", folder="lake/2021/04/02/")
    client().delete_object(Bucket=lake().bucket, Key="lake/2021/04/02/_SUCCESS")
    run(postgres, contract)
    assert names(postgres) == ["d1b", "d2", "d3"]


def test_marker_of_the_month_covers_the_folders_below_it() -> None:
    contract = replace(MARKED, key="year={year:04d}/month={month:02d}/*/part-*.csv")
    deliver("a", folder=f"{FOLDER}region=eu/")
    put(b"", f"{FOLDER}_SUCCESS")
    assert len(objects_of(lake(), contract, "2021-04")) == 1


def test_fixed_object_waits_for_the_marker_of_its_folder() -> None:
    contract = replace(THINGS, partition=None, key=None, prefix="ref/", keys=("things.csv",), success_marker="_OK")
    put(HEADER, "ref/things.csv", "")
    waiting = delivery_of(lake(), contract)
    assert (len(waiting.sources), len(waiting.waiting)) == (0, 1)
    put(b"", "ref/_OK")
    assert len(objects_of(lake(), contract)) == 1


# ---- Hours


def test_hours_of_a_day_are_one_partition() -> None:
    contract = replace(
        THINGS,
        partition=Partition(column="day", unit="day"),
        key="{year:04d}-{month:02d}-{day:02d}/{hour:02d}.csv",
    )
    for key in ("2021-04-01/00.csv", "2021-04-01/23.csv", "2021-04-01/24.csv", "2021-04-02/00.csv"):
        put(HEADER, key)
    assert [each.uri[-6:] for each in objects_of(lake(), contract, "2021-04-01")] == ["00.csv", "23.csv"]
    assert sorted(deliveries_in(contract, "2021-04-01", "2021-04-02")) == ["2021-04-01", "2021-04-02"]


# ---- Flows and plans


@pytest.mark.usefixtures("prefect_server", "postgres")
def test_plan_and_flow_notice_a_removed_object() -> None:
    @flow
    def monthly() -> list[LoadReceipt]:
        build_schemas([PARTS], [])
        return load_objects(PARTS, "2021-04")

    deliver("a", "b")
    assert statuses(monthly()) == {"a": "loaded", "b": "loaded"}
    remove("b")
    deliver("c")
    found = planned_loads(PARTS, objects_of(lake(), PARTS, "2021-04"))
    assert found.removed == ((lake().uri(f"{FOLDER}part-b.csv"), 1),)
    assert "was removed by the supplier: the load would delete its 1 rows" in " ".join(terminal_text(found).split())
    assert "rows of 1 removed object would be deleted" in ended_plan(found).message
    receipts = monthly()
    assert statuses(receipts) == {"a": "unchanged", "c": "loaded", "b": "removed"}
    assert "1 loaded, 0 rejected; rows of 1 removed object deleted; 1 object already loaded" in (
        ended_with(receipts, receipts, [], []).message
    )
    assert statuses(monthly()) == {"a": "unchanged", "c": "unchanged"}
