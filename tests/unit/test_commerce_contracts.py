import pytest
from copied_rows import parsed

from tasks.contracts.commerce import COMMERCE, FLAG, POINTS


@pytest.mark.parametrize("text", ["1", "2", "3", "4", "5"])
def test_points_are_from_1_to_5(text: str) -> None:
    assert parsed(POINTS, text) == [int(text)]


@pytest.mark.parametrize("text", ["0", "6", "-1", "11", "1.0", " 1", "", "\u0661", "five", "1\n", None])
def test_other_points_are_invalid(text: str | None) -> None:
    assert parsed(POINTS, text) == [None]


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "t", "1"])
def test_true_is_spelt_as_postgres_and_python_do(text: str) -> None:
    assert parsed(FLAG, text) == [True]


@pytest.mark.parametrize("text", ["false", "False", "f", "0"])
def test_false_is_spelt_as_postgres_and_python_do(text: str) -> None:
    assert parsed(FLAG, text) == [False]


@pytest.mark.parametrize("text", ["yes", "", "2", " t", "truth", None])
def test_other_spellings_are_no_flags(text: str | None) -> None:
    assert parsed(FLAG, text) == [None]


def test_every_dataset_has_a_fixed_key_and_only_reference_tables_are_optional() -> None:
    assert all(contract.keys and contract.partition is None for contract in COMMERCE)
    assert {c.table for c in COMMERCE if c.is_optional} == {c.table for c in COMMERCE if ".dim_" in c.table}
