"""Datasets without partitions that only grow: each new object adds its rows once."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest
from prefect import flow
from sample_dataset import HEADER, THINGS, client, lake, load, put, ready_connection

from tasks.backfill import deliveries_in
from tasks.contracts import Contract
from tasks.engine.backfill.staleness import PipelineInputs, read_current
from tasks.engine.errors import ContractError, MissingObjectError, ShrinkError
from tasks.engine.load.delivery import known_loads
from tasks.engine.receipts import LoadReceipt
from tasks.engine.schema.reset import reset_dataset
from tasks.engine.warehouse.tables import Connection
from tasks.extract import delivery_of, objects_of
from tasks.load import load_objects
from tasks.transform import build_schemas

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

GROWING = replace(THINGS, partition=None, prefix="incoming/", key="*.csv", delivery="append")


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with ready_connection(GROWING) as opened:
        yield opened


def deliver(name: str, *texts: str) -> None:
    put(HEADER + "".join(f"{text},2021-04-01\n" for text in texts).encode(), f"incoming/{name}.csv", "")


def run(postgres: Connection, contract: Contract = GROWING) -> list[str]:
    """Load what the lake holds. Returns the statuses in the order of the keys."""
    return [load(postgres, source, contract=contract).status for source in objects_of(lake(), contract)]


def names(postgres: Connection) -> list[str]:
    return [name for (name,) in postgres.execute("SELECT name FROM things_staging.things ORDER BY 1")]


def test_each_new_object_is_loaded_once_and_a_changed_one_replaces_its_own_rows(postgres: Connection) -> None:
    with pytest.raises(MissingObjectError, match=r"expected s3://.*/incoming/\*\.csv, found none"):
        run(postgres)
    deliver("1", "a", "b")
    assert run(postgres) == ["loaded"]
    deliver("2", "c")
    put(b"", "incoming/_SUCCESS", "")
    put(HEADER, "incoming/folder/3.csv", "")
    assert run(postgres) == ["unchanged", "loaded"]
    deliver("1", "a2")
    assert run(postgres) == ["replaced", "unchanged"]
    assert names(postgres) == ["a2", "c"]
    statuses = "SELECT source_uri ~ '1.csv', status, is_appended FROM ledger.loads ORDER BY load_id"
    assert postgres.execute(statuses).fetchall() == [
        (True, "superseded", True), (False, "loaded", True), (True, "loaded", True)
    ]  # fmt: skip


def test_removed_object_keeps_its_rows(postgres: Connection) -> None:
    deliver("1", "a")
    deliver("2", "b")
    run(postgres)
    client().delete_object(Bucket=lake().bucket, Key="incoming/1.csv")
    assert run(postgres) == ["unchanged"]
    assert names(postgres) == ["a", "b"]


def test_shrink_guard_compares_an_object_with_its_own_rows(postgres: Connection) -> None:
    deliver("1", "a", "b")
    run(postgres)
    put(HEADER, "incoming/2.csv", "")
    assert run(postgres) == ["unchanged", "loaded"]
    put(HEADER, "incoming/1.csv", "")
    with pytest.raises(ShrinkError, match="2 rows"):
        run(postgres)


def test_known_objects_are_found_by_one_query_unless_the_table_was_emptied(postgres: Connection) -> None:
    for number in range(30):
        deliver(f"{number:02d}", f"n{number}")
    run(postgres)
    deliver("07", "changed")
    sources = objects_of(lake(), GROWING)
    known = {receipt.source_uri for receipt in known_loads(postgres, GROWING, "", sources)}
    assert {source.uri for source in sources} - known == {lake().uri("incoming/07.csv")}
    postgres.execute("TRUNCATE things_staging.things")
    assert known_loads(postgres, GROWING, "", sources) == []


def test_names_may_have_dates_hours_and_folders(postgres: Connection) -> None:
    dated = replace(GROWING, key="{year:04d}/{month:02d}/{day:02d}/{hour:02d}-*.csv")
    for key in ("2021/04/01/00-a.csv", "2022/12/31/23-b.csv", "2021/13/01/00-c.csv", "2021/04/01/24-d.csv"):
        put(HEADER + b"x,2021-04-01\n", f"incoming/{key}", "")
    assert run(postgres, dated) == ["loaded", "loaded"]


def test_marker_of_each_folder_completes_its_objects() -> None:
    marked = replace(GROWING, key="*/part-*.csv", success_marker="_SUCCESS")
    put(HEADER, "incoming/1/part-0.csv", "")
    put(HEADER, "incoming/2/part-0.csv", "")
    put(b"", "incoming/2/_SUCCESS", "")
    delivery = delivery_of(lake(), marked)
    assert [source.uri for source in delivery.sources] == [lake().uri("incoming/2/part-0.csv")]
    assert [source.uri for source in delivery.waiting] == [lake().uri("incoming/1/part-0.csv")]


def test_partition_of_appended_objects_is_refused() -> None:
    with pytest.raises(ContractError, match="has no partitions"):
        objects_of(lake(), GROWING, "2021-04")


def test_dataset_that_became_growing_keeps_its_object_and_one_that_became_whole_replaces_all(
    postgres: Connection,
) -> None:
    whole = replace(GROWING, delivery="replace", key=None, keys=("1.csv",))
    deliver("1", "a")
    assert run(postgres, whole) == ["loaded"]
    deliver("2", "b")
    assert run(postgres) == ["unchanged", "loaded"]
    deliver("1", "c")
    assert run(postgres, whole) == ["replaced"]
    assert names(postgres) == ["c"]


@pytest.mark.parametrize("kept", ["1", "2", "3"])
def test_object_of_a_dataset_that_became_whole_replaces_all_others_although_it_is_loaded(
    postgres: Connection, kept: str
) -> None:
    for name in ("1", "2", "3"):
        deliver(name, name)
    run(postgres)
    whole = replace(GROWING, delivery="replace", key=None, keys=(f"{kept}.csv",))
    facts = replace(THINGS, dataset="facts", table="things_staging.facts")
    with ready_connection(facts, GROWING):
        load(postgres, put(HEADER + b"f,2021-04-01\n"), contract=facts)

    def changes() -> tuple[str, ...]:
        listed = {"things": deliveries_in(whole, None, None)}
        return read_current(postgres, PipelineInputs(facts, (whole,)), None, None, listed)["2021-04"].changes

    assert changes() == ("dataset things",)
    assert run(postgres, whole) == ["replaced"]
    assert (names(postgres), changes()) == ([kept], ())
    assert run(postgres, whole) == ["unchanged"]


def test_new_object_makes_the_partitions_of_a_pipeline_stale_that_reads_them(postgres: Connection) -> None:
    facts = replace(THINGS, dataset="facts", table="things_staging.facts")
    with ready_connection(facts, GROWING):
        load(postgres, put(HEADER + b"f,2021-04-01\n"), contract=facts)
    inputs = PipelineInputs(facts, (GROWING,))
    deliver("1", "a")
    run(postgres)
    listed = {"things": deliveries_in(GROWING, None, None)}
    assert read_current(postgres, inputs, None, None, listed)["2021-04"].changes == ()
    deliver("2", "b")
    listed = {"things": deliveries_in(GROWING, None, None)}
    assert read_current(postgres, inputs, None, None, listed)["2021-04"].changes == ("dataset things",)


def test_failed_object_is_shown_until_it_is_loaded(postgres: Connection) -> None:
    state = "SELECT state FROM ledger.partition_status WHERE dataset = 'things'"
    deliver("1", "a")
    run(postgres)
    put(b"name,other\nx,y\n", "incoming/2.csv", "")
    with pytest.raises(ContractError):
        run(postgres)
    deliver("0", "z")
    load(postgres, objects_of(lake(), GROWING)[0], contract=GROWING)
    assert postgres.execute(state).fetchone() == ("failed",)
    deliver("2", "b")
    run(postgres)
    assert postgres.execute(state).fetchone() == ("loaded",)


def test_reset_removes_the_dataset_and_its_objects_load_again(postgres: Connection) -> None:
    deliver("1", "a")
    run(postgres)
    reset_dataset(postgres, GROWING, [GROWING])
    with ready_connection(GROWING) as again:
        assert run(again) == ["loaded"]


@pytest.mark.usefixtures("prefect_server", "postgres")
def test_flow_loads_new_objects_of_another_bucket(
    new_bucket: Callable[[], AbstractContextManager[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = replace(GROWING, bucket="not-this-one")
    deliver("in-the-lake", "x")

    @flow
    def growing() -> list[LoadReceipt]:
        build_schemas([contract], [])
        return load_objects(contract)

    with new_bucket() as other, ready_connection(GROWING) as postgres:
        monkeypatch.setenv("THINGS_BUCKET", other)
        for count in (1, 3):
            for number in range(count):
                body = HEADER + b"n%d,2021-04-01\n" % number
                client().put_object(Bucket=other, Key=f"incoming/{number}.csv", Body=body)
            found = growing()
        assert [receipt.status for receipt in found] == ["unchanged", "loaded", "loaded"]
        assert all(receipt.source_uri.startswith(f"s3://{other}/") for receipt in found)
        assert names(postgres) == ["n0", "n1", "n2"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": None}, "with a template in `key`"),
        ({"keys": ("a.csv",)}, "found `keys`"),
        ({"key": "**.csv"}, "found \\*\\*"),
        ({"partition": THINGS.partition, "key": THINGS.key}, 'expected "append" only without partitions'),
        ({"success_marker": "a/_SUCCESS"}, "success_marker: expected the name of an object"),
    ],
)
def test_contradictions_are_refused_when_the_contract_is_declared(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(GROWING, **changes)  # type: ignore[arg-type]
