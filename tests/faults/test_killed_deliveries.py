"""kill -9 at every step of a corrected delivery: the month has its old or its new files, and a retry loads the new."""

import pytest
from faults.aftermath import left_behind
from faults.driver import COMMIT, PARTS
from faults.processes import Death, Job, run_until_death
from sample_dataset import HEADER, TOLERANT, client, connection, lake, load, names, put

from tasks.engine.load.delivery import load_delivery
from tasks.engine.warehouse.tables import Connection
from tasks.extract import delivery_of

pytestmark = pytest.mark.ledger

DEATHS = {
    "month locked": Death("tasks.engine.load.delivery:lock"),
    "first object opened": Death("tasks.engine.ledger:open_load"),
    "between two objects": Death("tasks.engine.ledger:close_load"),
    "all objects loaded": Death("tasks.engine.ledger:remove_loads", "before"),
    "loads marked": Death("tasks.engine.ledger:remove_loads"),
    "old rows deleted": Death("psycopg:Connection.execute", containing="load_id = ANY"),
    "about to commit": Death(COMMIT, "before"),
}


def deliver(*texts: str) -> None:
    for text in texts:
        put(HEADER + f"{text},2021-04-01\n".encode(), f"2021/04/{text}.csv")


@pytest.fixture
def corrected(postgres: Connection) -> Connection:
    """A month with two loaded files, which the supplier has replaced by two others."""
    deliver("old1", "old2")
    for source in delivery_of(lake(), PARTS, "2021-04").sources:
        load(postgres, source, contract=PARTS)
    for text in ("old1", "old2"):
        client().delete_object(Bucket=lake().bucket, Key=f"2021/04/{text}.csv")
    deliver("new1", "new2")
    return postgres


def run(postgres: Connection) -> list[str]:
    receipts = load_delivery(
        postgres,
        lake(),
        PARTS,
        "2021-04",
        lambda: delivery_of(lake(), PARTS, "2021-04"),
        TOLERANT,
        reconnect=connection,
    )
    return [receipt.status for receipt in receipts]


@pytest.mark.parametrize("death", DEATHS.values(), ids=DEATHS)
def test_killed_delivery_leaves_the_old_files_and_the_next_run_loads_the_new_ones(
    corrected: Connection, death: Death
) -> None:
    run_until_death(Job("delivery", {}, death, {}))
    assert left_behind(corrected) == {}
    assert names(corrected) == ["old1", "old2"]
    assert run(corrected) == ["loaded", "loaded", "removed", "removed"]
    assert names(corrected) == ["new1", "new2"]
    assert run(corrected) == ["unchanged", "unchanged"]


def test_delivery_killed_after_its_commit_is_complete(corrected: Connection) -> None:
    run_until_death(Job("delivery", {}, Death(COMMIT), {}))
    assert left_behind(corrected) == {}
    assert names(corrected) == ["new1", "new2"]
    assert run(corrected) == ["unchanged", "unchanged"]
