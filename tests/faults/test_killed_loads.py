"""kill -9 at every step of a load: the next run has the result of an undisturbed run."""

import pytest
from faults.aftermath import left_behind, ranked_state
from faults.conftest import CHUNK_BYTES, NEW, Replacement
from faults.driver import COMMIT
from faults.processes import Death, Job, run_until_death
from sample_dataset import HEADER, load, names, put, state

from tasks.engine.formats import csv_reader
from tasks.engine.warehouse.tables import Connection

pytestmark = pytest.mark.ledger

WRITE = "psycopg:Copy.write"
EXECUTE = "psycopg:Connection.execute"
SETTINGS = {"tasks.engine.formats.csv_reader:CHUNK_BYTES": CHUNK_BYTES}
DEATHS = {
    "month locked": Death("tasks.engine.load.load_locks:lock"),
    "object locked": Death("tasks.engine.load.load_locks:lock", count=2),
    "entry opened": Death("tasks.engine.ledger:open_load"),
    "old rows deleted": Death(EXECUTE, containing="DELETE FROM"),
    "within the first batch": Death(WRITE, count=2),
    "within the third batch": Death(WRITE, count=4),
    "all rows copied": Death("tasks.engine.ledger:write_rejected", "before"),
    "rejected rows written": Death("tasks.engine.ledger:write_rejected"),
    "entry to be closed": Death("tasks.engine.ledger:close_load", "before"),
    "about to commit": Death(COMMIT, "before"),
}
DEATHS_OF_A_NEW_MONTH = {
    "table created": Death(EXECUTE, containing="CREATE TABLE"),
    "within the third batch": Death(WRITE, count=4),
    "all rows copied": Death("tasks.engine.ledger:write_rejected", "before"),
    "columns added": Death(EXECUTE, containing="ADD COLUMN"),
    "table attached": Death(EXECUTE, containing="ATTACH PARTITION"),
    "about to commit": Death(COMMIT, "before"),
}
ARGUMENTS = {"key": "2021/04/things.csv", "partition": "2021-04"}


@pytest.mark.parametrize("death", DEATHS.values(), ids=DEATHS)
def test_killed_load_leaves_the_old_month_and_the_next_run_loads_the_new_one(
    postgres: Connection, replacement: Replacement, death: Death
) -> None:
    with replacement.watching() as seen:
        run_until_death(Job("load", ARGUMENTS, death, SETTINGS))
        assert left_behind(postgres) == {}
        assert ranked_state(postgres) == replacement.before
        assert load(postgres, replacement.source).status == "replaced"
    assert ranked_state(postgres) == replacement.after
    assert seen == replacement.views


def test_killed_load_does_not_disturb_the_load_of_another_object_of_the_month(postgres: Connection) -> None:
    load(postgres, put(HEADER + b"first,\n", "2021/04/first.csv"))
    other = put(HEADER + b"b,\n" * 500, "2021/04/b.csv")
    job = Job("load", {**ARGUMENTS, "key": "2021/04/b.csv"}, Death(WRITE, count=3), SETTINGS)
    load(postgres, put(HEADER + b"a,\n", "2021/04/a.csv"), on_progress=lambda _, __: run_until_death(job))
    assert left_behind(postgres) == {}
    assert names(postgres) == ["a", "first"]
    assert load(postgres, other).status == "loaded"
    assert names(postgres) == ["a", *["b"] * 500, "first"]


def test_load_killed_after_its_commit_is_skipped_by_the_next_run(
    postgres: Connection, replacement: Replacement
) -> None:
    with replacement.watching() as seen:
        run_until_death(Job("load", ARGUMENTS, Death(COMMIT), SETTINGS))
        assert left_behind(postgres) == {}
        assert load(postgres, replacement.source).status == "unchanged"
    assert ranked_state(postgres) == replacement.after
    assert seen == replacement.views


@pytest.mark.parametrize("death", DEATHS_OF_A_NEW_MONTH.values(), ids=DEATHS_OF_A_NEW_MONTH)
def test_killed_load_of_a_new_month_leaves_no_rows_and_no_loose_table(
    postgres: Connection, monkeypatch: pytest.MonkeyPatch, death: Death
) -> None:
    monkeypatch.setattr(csv_reader, "CHUNK_BYTES", CHUNK_BYTES)
    source = put(NEW)
    run_until_death(Job("load", ARGUMENTS, death, SETTINGS))
    assert left_behind(postgres) == {}
    assert state(postgres) == {"things": [], "loads": [], "rejected": []}
    assert load(postgres, source).status == "loaded"
    assert [row[1:] for row in ranked_state(postgres)["loads"]] == [
        ("2021-04", source.uri, source.version, source.size_bytes, "loaded", 1000, 500, 500, None)
    ]
    assert len(state(postgres)["things"]) == len(state(postgres)["rejected"]) == 500
