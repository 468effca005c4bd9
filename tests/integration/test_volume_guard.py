"""An object with far fewer or far more rows than the last objects causes a warning, or stops its load."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sample_dataset import HEADER, THINGS, connection, load, names, put, ready_connection, state

from tasks.contracts import Contract
from tasks.contracts.volume import Volume
from tasks.engine.errors import VolumeError
from tasks.engine.receipts import LoadReceipt
from tasks.engine.warehouse.tables import Connection

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

STRICT = replace(THINGS, volume=Volume(on_breach="fail"))
WHOLE = replace(THINGS, dataset="whole", table="things_staging.whole", partition=None)


@pytest.fixture
def warehouse(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket
    with ready_connection(THINGS, WHOLE) as opened:
        yield opened


def _load(
    warehouse: Connection, partition: str, rows: int, contract: Contract = THINGS, *, force: bool = False
) -> LoadReceipt:
    if contract.partition is None:
        source = replace(put(_data(rows), "whole.csv"), partition="")
    else:
        source = put(_data(rows), f"{partition.replace('-', '/')}/things.csv", partition)
    return load(warehouse, source, contract=contract, force=force)


def _data(rows: int) -> bytes:
    return HEADER + b"".join(b"t%d,2021-04-01\n" % number for number in range(rows))


def _earlier(warehouse: Connection, dataset: str, counts: dict[str, int]) -> None:
    """Write the ledger's entries of earlier objects, by partition."""
    warehouse.cursor().executemany(
        "INSERT INTO ledger.loads (dataset, partition, source_uri, source_version, size_bytes, rows_read, rows_loaded)"
        " VALUES (%(dataset)s, %(partition)s, 's3://lake/' || %(partition)s, 'v', 1, %(rows)s, %(rows)s)",
        [{"dataset": dataset, "partition": partition, "rows": rows} for partition, rows in counts.items()],
    )


def _year(year: int, rows: int) -> dict[str, int]:
    """Row counts of the months of a year, which differ a little."""
    return {f"{year}-{month:02d}": rows + month for month in range(1, 13)}


def _recorded() -> list[list[str]]:
    with connection() as opened:
        rows = opened.execute("SELECT warnings FROM ledger.load_attempts WHERE warnings <> '{}' ORDER BY attempt_id")
        return [list(warnings) for (warnings,) in rows]


@pytest.mark.parametrize("rows", [0, 20, 400])
def test_an_unusual_object_is_loaded_with_a_warning_in_the_ledger(warehouse: Connection, rows: int) -> None:
    _earlier(warehouse, "things", _year(2020, 100))
    receipt = _load(warehouse, "2021-01", rows)
    assert receipt.rows_loaded == rows
    (warning,) = receipt.warnings
    assert "s3://" in warning
    assert "2021/01/things.csv" in warning
    assert f"found {rows:,} rows" in warning
    assert "the last 12 objects have 101 to 112 rows" in warning
    assert _recorded() == [[warning]]


@pytest.mark.parametrize("rows", [60, 105, 200])
def test_a_usual_object_causes_no_warning(warehouse: Connection, rows: int) -> None:
    _earlier(warehouse, "things", _year(2020, 100))
    assert _load(warehouse, "2021-01", rows).warnings == ()
    assert _recorded() == []


@pytest.mark.parametrize("rows", [0, 20, 400])
def test_contract_may_refuse_an_unusual_object_unless_forced(warehouse: Connection, rows: int) -> None:
    _earlier(warehouse, "things", _year(2020, 100))
    before = state(warehouse)
    with pytest.raises(VolumeError, match=rf"found {rows} rows.*nothing was loaded.*run again with force"):
        _load(warehouse, "2021-01", rows, STRICT)
    assert state(warehouse) == before
    attempt = warehouse.execute("SELECT status, error_class FROM ledger.load_attempts ORDER BY attempt_id DESC LIMIT 1")
    assert attempt.fetchone() == ("failed", "VolumeError")
    assert len(_load(warehouse, "2021-01", rows, STRICT, force=True).warnings) == 1
    assert len(names(warehouse, "2021-01")) == rows


@pytest.mark.parametrize("data", [b"", HEADER])
def test_an_object_without_rows_causes_a_warning_without_any_history(warehouse: Connection, data: bytes) -> None:
    receipt = load(warehouse, put(data))
    assert (receipt.rows_read, len(receipt.warnings)) == (0, 1)
    assert "expected 1 or more rows" in receipt.warnings[0]


def test_an_object_without_rows_is_normal_if_the_contract_says_so(warehouse: Connection) -> None:
    for volume in (None, Volume(min_rows=0)):
        assert load(warehouse, put(HEADER), contract=replace(THINGS, volume=volume), force=True).warnings == ()


def test_the_objects_before_count_and_not_the_objects_after(warehouse: Connection) -> None:
    _earlier(warehouse, "things", _year(2020, 100))
    _earlier(warehouse, "things", _year(2022, 1_000))
    assert _load(warehouse, "2021-01", 110).warnings == ()
    assert len(_load(warehouse, "2023-01", 110).warnings) == 1


def test_a_history_that_starts_later_is_used_if_nothing_is_earlier(warehouse: Connection) -> None:
    _earlier(warehouse, "things", _year(2020, 100))
    assert len(_load(warehouse, "2019-12", 1).warnings) == 1


def test_a_replacement_is_compared_with_other_objects_and_not_with_itself(warehouse: Connection) -> None:
    _earlier(warehouse, "things", _year(2020, 100))
    assert len(_load(warehouse, "2021-01", 1_000).warnings) == 1
    assert len(_load(warehouse, "2021-01", 1_001).warnings) == 1
    assert _load(warehouse, "2021-01", 100).warnings == ()


def test_the_same_month_of_the_year_before_is_normal(warehouse: Connection) -> None:
    _earlier(warehouse, "things", _year(2020, 100) | {"2020-12": 900} | _year(2021, 100))
    assert _load(warehouse, "2021-12", 1_000).warnings == ()
    assert len(_load(warehouse, "2021-11", 1_000).warnings) == 1


def test_a_table_without_partitions_is_compared_with_its_earlier_versions(warehouse: Connection) -> None:
    for rows in range(100, 112):
        assert _load(warehouse, "", rows, WHOLE).warnings == ()
    assert len(_load(warehouse, "", 5, WHOLE).warnings) == 1
    assert _load(warehouse, "", 113, WHOLE).warnings == ()


def test_the_smallest_date_has_no_year_before(warehouse: Connection) -> None:
    assert _load(warehouse, "0001-01", 3).warnings == ()
