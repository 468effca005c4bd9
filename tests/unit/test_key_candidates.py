"""A group of columns is a key only if its values differ in all rows: in the first rows and in the later rows."""

from pathlib import Path

import polars as pl
import pytest

from tasks.engine.samples import key_candidates
from tasks.engine.samples.files import SampleFile
from tasks.engine.samples.key_candidates import is_certain, is_key
from tasks.engine.samples.profiler import profile_sample


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("1", "x"), ("1", "y"), ("2", "x"), ("2", "y")], True),
        ([("1", "x"), ("1", "x"), ("2", "x"), ("2", "y")], False),
        ([("1", "x"), ("1", "y"), ("2", "x"), ("2", "x")], False),
        ([("1", "x"), ("1", "y"), ("2", "x"), ("1", "y")], False),
    ],
    ids=["all differ", "equal at the beginning", "equal at the end", "equal to a first row"],
)
def test_values_of_a_key_differ_in_all_rows(
    rows: list[tuple[str, str]], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_candidates, "FIRST_ROWS", 2)
    assert is_key(pl.DataFrame(rows, schema=["a", "b"], orient="row"), (0, 1)) == expected


SERIES = "".join(f"2024-01-{day:02d},{day}\n" for day in range(1, 29))
MOMENTS = "".join(f"2024-01-01T00:00:{second:02d}Z,{second % 9}\n" for second in range(60))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("date,amount\n" + SERIES, ("date",)),
        ("date,amount\n" + SERIES[:70], ()),  # a few rows of different days may be a coincidence
        ("ts,amount\n" + MOMENTS, ()),  # another file may have two records of one moment
        ("event_id,ts\n" + "".join(f"{n},2024-01-01T00:00:{n % 30:02d}Z\n" for n in range(60)), ("event_id",)),
        ("state,date\n" + "".join(f"{s},2024-01-{d:02d}\n" for s in "AB" for d in range(1, 29)), ("state", "date")),
        ("path,ts\n" + "".join(f"{p},2024-01-01T00:00:{s:02d}Z\n" for p in "AB" for s in range(60)), ()),
        ("sku,ts\n" + "".join(f"{p},2024-01-01T00:00:{s:02d}Z\n" for p in "AB" for s in range(60)), ("sku", "ts")),
    ],
)
def test_group_of_columns_is_the_key_if_names_and_types_say_so(text: str, key: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    path.write_text(text)
    profile = profile_sample(SampleFile(str(path), path.name, path.stat().st_size, lambda: path.open("rb")))
    group = profile.keys[0] if profile.keys else ()
    assert (group if is_certain([profile.column(name) for name in group]) else ()) == key
