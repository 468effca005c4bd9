"""A group of columns is a key only if its values differ in all rows: in the first rows and in the later rows."""

import polars as pl
import pytest

from tasks.engine.samples import key_candidates
from tasks.engine.samples.key_candidates import is_key


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
