"""The builds of totesys."""

from tasks.totesys.runs import CORE


def test_origins_are_built_apart_from_the_tables_of_the_star() -> None:
    earlier, later = CORE.split_off("totesys_core.origins")
    assert sorted(earlier.tables) == ["totesys_core.counterparty", "totesys_core.department", "totesys_core.staff"]
    assert later.tables == ("totesys_core.origins",)
