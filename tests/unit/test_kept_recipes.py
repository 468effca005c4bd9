"""The process caches results that derive from SQL files and contracts, until one of the files changes."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from sample_dataset import THINGS

from tasks.engine.build.combinations import sound_recipes
from tasks.engine.build.file_texts import version_of
from tasks.engine.errors import SqlFileError
from tasks.engine.schema.desired import wanted_objects

LONG_AGO = 1_600_000_000
FILES = ("table.sql", "query.sql")


def write(root: Path, name: str, texts: tuple[str, str], at: int = LONG_AGO) -> None:
    folder = root.joinpath(*name.split("."))
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in zip(FILES, texts, strict=True):
        (folder / file).write_text(text, encoding="utf-8")
        os.utime(folder / file, (at, at))


def table(value: int, disposition: str = "replace partition (day)", sources: str = "") -> tuple[str, str]:
    """The files of a table of days."""
    header = f"-- key: day\n-- sources: {sources}\n-- write disposition: {disposition}\n"
    return "CREATE TABLE a.a (day date, n int)", f"{header}SELECT %(day)s AS day, {value} AS n"


def files_of(recipes: object) -> list[dict[str, str]]:
    return [recipe._files for recipe in recipes]  # type: ignore[attr-defined]


def test_recipes_are_kept_until_a_file_changes(tmp_path: Path) -> None:
    write(tmp_path, "a.a", table(1))
    first = sound_recipes("a", ["d"], (), tmp_path)
    assert sound_recipes("a", ["d"], (), tmp_path) is first
    before = files_of(first)

    write(tmp_path, "a.a", table(2), LONG_AGO + 1)
    second = sound_recipes("a", ["d"], (), tmp_path)
    assert files_of(second) != before

    write(tmp_path, "a.b", table(1), LONG_AGO)
    assert [recipe.table.name for recipe in sound_recipes("a", ["d"], (), tmp_path)] == ["a.a", "a.b"]
    (tmp_path / "a" / "a" / "query.sql").unlink()
    assert [recipe.table.name for recipe in sound_recipes("a", ["d"], (), tmp_path)] == ["a.b"]


def test_file_that_changed_a_moment_ago_is_read_again(tmp_path: Path) -> None:
    write(tmp_path, "a.a", table(1))
    (tmp_path / "a" / "a" / "query.sql").touch()
    assert version_of(tmp_path) is None
    assert sound_recipes("a", ["d"], (), tmp_path) is not sound_recipes("a", ["d"], (), tmp_path)


def test_change_of_another_schema_is_a_change_of_its_readers(tmp_path: Path) -> None:
    """The combination is refused when the source's file changes, although the reader's files are the same."""
    write(tmp_path, "a.a", table(1, sources="b.b"))
    write(tmp_path, "b.b", table(1))
    assert sound_recipes("a", ["d"], (), tmp_path)
    write(tmp_path, "b.b", table(1, "append"), LONG_AGO + 1)
    for _ in range(2):
        with pytest.raises(SqlFileError, match=r"reads b\.b, which is appended to"):
            sound_recipes("a", ["d"], (), tmp_path)
    write(tmp_path, "b.b", table(1), LONG_AGO + 2)
    assert sound_recipes("a", ["d"], (), tmp_path)


def test_recipes_of_other_contracts_are_other_recipes(tmp_path: Path) -> None:
    write(tmp_path, "a.a", table(1, sources=THINGS.table))
    (one,), (other,) = (
        sound_recipes("a", (), [contract], tmp_path)
        for contract in (THINGS, replace(THINGS, dataset="other_things", table="things_staging.other"))
    )
    assert (one.read_datasets, other.read_datasets) == ([THINGS.dataset], [])


def test_wanted_objects_are_kept_until_a_text_or_a_contract_changes(tmp_path: Path) -> None:
    write(tmp_path, "ledger.loads", ("CREATE TABLE ledger.loads (n int)", ""))
    write(tmp_path, "a.a", table(1))
    described = replace(THINGS, description="Another description.")
    kept = wanted_objects([THINGS], ["a"], tmp_path)
    assert all(one is other for one, other in zip(kept, wanted_objects([THINGS], ["a"], tmp_path), strict=True))
    changed = wanted_objects([described], ["a"], tmp_path)
    assert [one.name for one, other in zip(kept, changed, strict=True) if one.ddl != other.ddl] == [
        THINGS.table,
        THINGS.ingested,
    ]
    write(tmp_path, "a.a", ("CREATE TABLE a.a (day date, n bigint)", table(1)[1]))
    assert wanted_objects([THINGS], ["a"], tmp_path)[-1].ddl != kept[-1].ddl
