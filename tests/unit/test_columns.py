import pytest

from tasks.contracts import Column, Contract
from tasks.contracts.types import DATE, TEXT, TIMESTAMPTZ
from tasks.engine.errors import ContractError
from tasks.engine.formats.columns import ColumnMatch, match_columns

COLUMNS = (
    Column("occurred_at", TIMESTAMPTZ, "instant", source="timestamp"),
    Column("event_date", DATE, "day", source="timestamp", aliases=("time",)),
    Column("country", TEXT, "country", aliases=("nation", "land")),
)
WARNS = Contract("things", "s.things", "things", COLUMNS, "p", "k")
FAILS = Contract("things", "s.things", "things", COLUMNS, "p", "k", unknown_columns="fail")


def test_columns_may_share_a_source() -> None:
    match = match_columns(WARNS, ["timestamp", "country"], "x.csv")
    assert match == ColumnMatch({"timestamp": 0, "country": 1}, ("timestamp", "country"), ())


@pytest.mark.parametrize("country", ["country", "nation", "land"])
def test_column_is_found_under_each_of_its_names(country: str) -> None:
    match = match_columns(FAILS, [country, "time"], "x.csv")
    assert match.positions == {"timestamp": 1, "country": 0}


@pytest.mark.parametrize("found", [["timestamp", "country", "country"], ["timestamp", "nation", "country"]])
def test_duplicate_column_is_refused_under_any_alias(found: list[str]) -> None:
    with pytest.raises(ContractError, match=r"names column country 2 times .*\(as country or nation or land\)"):
        match_columns(WARNS, found, "x.csv")


def test_renamed_column_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ContractError) as caught:
        match_columns(WARNS, ["timestamp", "contry", "x"], "s3://b/x.csv")
    assert str(caught.value) == (
        "s3://b/x.csv: missing country; expected timestamp, country; found timestamp, contry, x; country may be contry."
        " Correct the object, or declare an alias in the contract of things"
    )


def test_column_in_another_case_is_missing() -> None:
    with pytest.raises(ContractError, match="missing country"):
        match_columns(WARNS, ["timestamp", "Country"], "x.csv")


def test_object_without_columns_is_refused() -> None:
    with pytest.raises(ContractError, match="found no columns"):
        match_columns(WARNS, [], "x.csv")


def test_unknown_columns_are_reported_and_not_loaded() -> None:
    match = match_columns(WARNS, ["b", "timestamp", "", "country", "a", "b"], "x.csv")
    assert (match.unknown, match.width) == (("b", "", "a", "b"), 6)


def test_unknown_columns_are_refused_where_the_contract_says_so() -> None:
    with pytest.raises(ContractError, match=r"x.csv: unknown a; expected only timestamp, country. Add them"):
        match_columns(FAILS, ["timestamp", "country", "a"], "x.csv")
