"""The parts of a build: some tables of a schema, built apart from the others."""

from pathlib import Path

import pytest

from tasks.engine.build.build_inputs import Build
from tasks.engine.errors import SqlFileError


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """The build of the tables first, second and last; `last` reads `second`, and `second` reads `first`."""
    for name, source in (("first", "none"), ("second", "core.first"), ("last", "core.second")):
        folder = tmp_path / "core" / name
        folder.mkdir(parents=True)
        header = f"-- key: id\n-- sources: {source}\n-- write disposition: replace table\n"
        (folder / "table.sql").write_text("CREATE TABLE core.t (id integer)")
        (folder / "query.sql").write_text(f"{header}SELECT 1 AS id")
    return Build("core", (), lambda _: {}, tmp_path)


def names(build: Build) -> list[str]:
    return [recipe.table.name for recipe in build.recipes]


def test_both_parts_together_are_the_build(build: Build) -> None:
    earlier, later = build.split_off("core.last")
    assert names(build) == ["core.first", "core.second", "core.last"]
    assert (names(earlier), names(later)) == (["core.first", "core.second"], ["core.last"])


def test_part_may_be_split_again(build: Build) -> None:
    _, later = build.split_off("core.second", "core.last")
    assert [names(part) for part in later.split_off("core.last")] == [["core.second"], ["core.last"]]


@pytest.mark.parametrize(
    ("later", "message"),
    [
        ("core.second", r"sql/core/last/query\.sql: core\.last reads core\.second, which the later build writes"),
        ("core.missing", r"expected tables of core \(core\.first, core\.second, core\.last\), found core\.missing"),
    ],
)
def test_part_that_would_leave_a_table_outdated_is_refused(build: Build, later: str, message: str) -> None:
    with pytest.raises(SqlFileError, match=message):
        build.split_off(later)
