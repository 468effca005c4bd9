"""A plan checks a sample of the rows, and its verdict agrees with the load."""

import gzip
import io
from collections.abc import Iterator
from dataclasses import replace

import polars as pl
import pytest
from sample_dataset import THINGS, lake, load, put, ready_connection

from tasks.contracts import Column
from tasks.contracts.formats import Csv
from tasks.contracts.types import DATE, INTEGER, TEXT
from tasks.engine.errors import ErrorBudgetError, ShrinkError
from tasks.engine.load.plan import plan_loads
from tasks.engine.load.plan_text import WIDTH, outcome, problem_lines, terminal_text
from tasks.engine.load.planned import Plan
from tasks.engine.load.sample_check import SampleCheck
from tasks.engine.load.sampling import FIRST_ROWS, MIDDLE_ROWS
from tasks.engine.receipts import ObjectRef
from tasks.engine.settings import RunSettings
from tasks.engine.warehouse.tables import Connection

pytestmark = [pytest.mark.ledger, pytest.mark.usefixtures("database", "bucket")]

NUMBERED = replace(
    THINGS,
    columns=(
        Column("name", TEXT, "Name.", nullable=False),
        Column("seen_date", DATE, "Day.", source="day"),
        Column("count", INTEGER, "Number."),
    ),
)
HEADER = "name,day,count\n"
SETTINGS = RunSettings()
MANY = 250_000
"""Number of rows of an object that is too large to be read completely."""


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with ready_connection(NUMBERED) as opened:
        yield opened


def plan_of(postgres: Connection, *sources: ObjectRef, contract: object = NUMBERED) -> Plan:
    return plan_loads(postgres, lake(), contract, sources, SETTINGS)  # type: ignore[arg-type]


def check_of(postgres: Connection, data: bytes, key: str = "x.csv", contract: object = NUMBERED) -> SampleCheck:
    [planned] = plan_of(postgres, put(data, key), contract=contract).objects
    assert planned.check, planned.error
    return planned.check


def rows(count: int, day: str = "2021-04-01", number: str = "7") -> str:
    return "".join(f"thing {place},{day},{number}\n" for place in range(count))


def test_file_whose_rows_are_mostly_rejected_would_fail_as_its_load_does(postgres: Connection) -> None:
    source = put((HEADER + rows(40) + rows(300, number="NA")).encode(), "x.csv")
    plan = plan_of(postgres, source)
    [planned] = plan.objects
    assert planned.check
    assert (planned.check.rows_rejected, planned.check.rejected_total, planned.check.allowed) == (300, 300, 100)
    assert (outcome(planned), plan.would_fail) == ("the load would fail", True)
    [line] = problem_lines(planned)
    assert line.startswith("column count, 300 rows: expected integer: ")
    assert "'NA' (300 rows, first in line 42)" in line
    with pytest.raises(ErrorBudgetError):
        load(postgres, source, contract=NUMBERED, settings=SETTINGS)


def test_few_rejected_rows_are_within_the_budget(postgres: Connection) -> None:
    source = put((HEADER + rows(40) + rows(3, number="x")).encode(), "x.csv")
    plan = plan_of(postgres, source)
    assert plan.objects[0].check
    assert (outcome(plan.objects[0]), plan.would_fail) == ("would be loaded", False)
    receipt = load(postgres, source, contract=NUMBERED, settings=SETTINGS)
    assert (receipt.rows_rejected, receipt.rows_read) == (
        plan.objects[0].check.rows_rejected,
        plan.objects[0].check.row_total,
    )


def test_each_column_counts_its_own_rows(postgres: Connection) -> None:
    text = HEADER + rows(5, day="1.4.2021", number="x") + rows(2, number="y") + ",2021-04-01,1\nmalformed\n"
    check = check_of(postgres, text.encode())
    assert {each.column: each.row_count for each in check.problems} == {
        "count": 7, "seen_date": 5, "name": 1, None: 1,
    }  # fmt: skip
    assert check.rows_rejected == 9
    by_column = {each.column: each.examples for each in check.problems}
    assert by_column["count"] == ("'x' (5 rows, first in line 2)", "'y' (2 rows, first in line 7)")
    assert by_column["name"] == ("no value (line 9)",)
    assert by_column[None] == ("'malformed' (line 10)",)


def test_values_of_sensitive_columns_are_hidden(postgres: Connection) -> None:
    contract = replace(NUMBERED, columns=(*NUMBERED.columns[:2], Column("count", INTEGER, "Number.", sensitive=True)))
    plan = plan_of(
        postgres, put((HEADER + rows(3, number="secret") + "bad secret\n").encode(), "x.csv"), contract=contract
    )
    text = terminal_text(plan) + str(list(problem_lines(plan.objects[0])))
    assert "secret" not in text
    assert "(hidden) (3 rows, first in line 2)" in text


def middle_errors(encoding: str = "utf-8") -> bytes:
    """An object whose rows are valid, except for those around its middle."""
    third = rows(MANY // 2)
    return (HEADER + third + rows(20_000, number="bad") + third).encode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_rows_from_the_middle_are_checked(postgres: Connection, encoding: str) -> None:
    check = check_of(postgres, middle_errors(encoding))
    assert FIRST_ROWS <= check.first_rows < 3 * FIRST_ROWS
    assert MIDDLE_ROWS <= check.middle_rows < 30_000
    [problem] = check.problems
    assert (problem.column, problem.row_count) == ("count", check.rows_rejected)
    assert "in the middle of the object" in problem.examples[0]
    assert check.would_fail
    assert not check.is_whole


def test_record_of_the_middle_begins_outside_quotes(postgres: Connection) -> None:
    cell = '"' + "line of a text\n" * 40 + 'it says ""hello"", and ends"'
    text = HEADER + f"{cell},2021-04-01,7\n" * 30_000
    check = check_of(postgres, text.encode())
    assert check.middle_rows > 0
    assert (check.rows_rejected, check.problems) == (0, ())


def test_middle_of_ndjson_is_checked(postgres: Connection) -> None:
    line = '{"name": "says \\"x", "day": "2021-04-01", "count": %s}\n'
    text = line % 7 * 60_000 + line % '"bad"' * 20_000 + line % 7 * 60_000
    check = check_of(postgres, text.encode(), "x.ndjson")
    assert [problem.column for problem in check.problems] == ["count"]
    assert check.would_fail


def test_middle_row_group_of_parquet_is_checked(postgres: Connection) -> None:
    count = 40_000
    numbers = ["7"] * count + ["bad"] * count + ["7"] * count
    frame = pl.DataFrame({"name": "a", "day": "2021-04-01", "count": numbers})
    file = io.BytesIO()
    frame.write_parquet(file, row_group_size=count)
    check = check_of(postgres, file.getvalue(), "x.parquet")
    [problem] = check.problems
    assert problem.column == "count"
    assert problem.examples == (f"'bad' ({problem.row_count:,} rows, first in line {count + 1:,})",)
    assert check.row_total == 3 * count


def test_compressed_objects_have_first_rows_only(postgres: Connection) -> None:
    check = check_of(postgres, gzip.compress(middle_errors()), "x.csv.gz")
    assert (check.middle_rows, check.rows_rejected) == (0, 0)
    assert check.first_rows >= FIRST_ROWS
    bad = check_of(postgres, gzip.compress((HEADER + rows(200, number="x")).encode()), "y.csv.gz")
    assert (bad.rows_rejected, bad.is_whole, bad.would_fail) == (200, True, True)


@pytest.mark.parametrize("data", [b"", HEADER.encode(), HEADER.strip().encode()])
def test_object_without_rows_has_nothing_to_reject(postgres: Connection, data: bytes) -> None:
    check = check_of(postgres, data)
    assert (check.first_rows, check.rows_rejected, check.row_total, check.is_whole) == (0, 0, 0, True)


def test_of_many_objects_some_are_checked(postgres: Connection) -> None:
    sources = [put((HEADER + rows(2)).encode(), f"{number}.csv") for number in range(45)]
    objects = plan_of(postgres, *sources).objects
    assert sum(planned.check is not None for planned in objects) == 20
    assert objects[0].check
    assert objects[-2].check or objects[-1].check or objects[-3].check


def test_object_that_a_changed_contract_would_load_again_is_checked(postgres: Connection) -> None:
    source = put((HEADER + rows(3)).encode())
    load(postgres, source, contract=NUMBERED)
    assert outcome(plan_of(postgres, source).objects[0]) == "already loaded: would be skipped"
    changed = replace(NUMBERED, columns=(*NUMBERED.columns[:2], Column("count", INTEGER, "Number.", first=1)))
    [planned] = plan_of(postgres, source, contract=changed).objects
    assert (outcome(planned), planned.check is not None) == ("would replace 3 rows", True)


@pytest.mark.parametrize("text", [HEADER, HEADER + rows(2, number="x")])
def test_object_without_rows_to_replace_others_would_fail_as_its_load_does(postgres: Connection, text: str) -> None:
    load(postgres, put((HEADER + rows(3)).encode()), contract=NUMBERED)
    source = put(text.encode())
    [planned] = plan_of(postgres, source).objects
    assert outcome(planned) == "the load would fail"
    with pytest.raises(ShrinkError) as caught:
        load(postgres, source, contract=NUMBERED, settings=SETTINGS)
    assert (planned.error or "") in str(caught.value)


def test_page_for_the_terminal_fits_its_width(postgres: Connection) -> None:
    long = "x" * 300
    text = HEADER + rows(300, number=long) + rows(2, day="01.04.2021")
    page = terminal_text(plan_of(postgres, put(text.encode(), "2021/04/things.csv")))
    assert max(map(len, page.splitlines())) <= WIDTH
    assert "s3://" in page
    assert "2021/04/things.csv" in page
    assert "the load would fail" in page
    assert "302 of 302 rows would be rejected: more than the error budget of 100" in " ".join(page.split())
    assert page.endswith("This plan changed nothing.")


def test_dialects_are_sampled(postgres: Connection) -> None:
    contract = replace(NUMBERED, format=Csv(delimiter=";", encoding="utf-16"))
    text = (
        "name;day;count\n" + "ä;2021-04-01;7\n" * 100_000 + "ä;2021-04-01;bad\n" * 30_000 + "ä;2021-04-01;7\n" * 100_000
    )
    check = check_of(postgres, text.encode("utf-16"), contract=contract)
    assert [problem.column for problem in check.problems] == ["count"]
    assert check.middle_rows >= MIDDLE_ROWS
