"""Combinations of write dispositions: refuse a combination that would leave a table with outdated rows."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from tasks.contracts import Contract
from tasks.engine.build.build_inputs import Recipe, recipes_of
from tasks.engine.build.file_texts import Version, version_of
from tasks.engine.build.sql_code import code_of
from tasks.engine.build.sql_files import ROOT, SqlTable, built_among, built_sources
from tasks.engine.errors import SqlFileError

_KINDS = {"merge": "merged", "history": "a history", "append": "appended to", "upsert": "appended to and changed"}


def sound_recipes(
    schema: str, datasets: Iterable[str] = (), contracts: Iterable[Contract] = (), root: Path = ROOT
) -> Sequence[Recipe]:
    """Return the recipes of `recipes_of`, after a check that their combination leaves no outdated rows.

    The function keeps the recipes, and everything that they have read, until a file under the root changes.

    Raises:
        SqlFileError: A table would keep outdated rows; the message names a disposition to use instead.
    """
    version = version_of(root)
    find = _sound_recipes.__wrapped__ if version is None else _sound_recipes
    return find(schema, tuple(datasets), tuple(contracts), root, version)


@lru_cache(maxsize=50)
def _sound_recipes(
    schema: str, datasets: tuple[str, ...], contracts: tuple[Contract, ...], root: Path, _: Version | None
) -> Sequence[Recipe]:
    recipes = recipes_of(schema, datasets, contracts, root)
    if errors := list(combination_errors(recipes)):
        raise SqlFileError("; ".join(errors))
    return recipes


def combination_errors(recipes: Iterable[Recipe]) -> Iterator[str]:
    """Describe the errors in the combination of some tables, one sentence for each error.

    A later partition may change a table that is merged or appended to, and a table that is built as a whole from
    partitions. A table with partitions must not read such a table, directly or through other tables: a build would
    write only the later partition, and earlier partitions would keep outdated rows. A merge may read another merge,
    because its `affected_keys.sql` selects the keys to recompute. A history with snapshots of partitions must not read
    such a table either, because the table does not hold its rows as of an earlier snapshot.

    A table that is built as a whole must not depend on the partition of the build, because each partition would write
    a different table.

    A merge must not select its keys only from tables that an earlier build wrote.

    Args:
        recipes: Recipes of the tables of one schema.
    """
    recipes = list(recipes)
    columns = {recipe.table.replaced_column for recipe in recipes} - {None}
    for recipe in recipes:
        table = recipe.table
        yield from _unseen_reads(recipe)
        if not table.is_whole:
            yield from _stale_reads(recipe)
        elif used := recipe.placeholders & columns:
            yield (
                f"{table.address('query.sql')}: `{_written(table)}` uses %({min(map(str, used))})s, the parameter of a"
                " partition: each partition would write a different table; use"
                f" `replace partition ({min(map(str, used))})`"
            )


def _stale_reads(recipe: Recipe) -> Iterator[str]:
    reader = recipe.table
    own = f"replace partition ({reader.replaced_column})" if reader.replaced_column else reader.disposition.kind
    is_of_one_partition = bool(reader.replaced_column) or reader.disposition.kind == "history"
    for source in _all_sources(recipe):
        if source.disposition.kind != "replace" and not source.is_whole and is_of_one_partition:
            why = f"which is {_KINDS[source.disposition.kind]}"
        elif source.is_whole and _is_of_partitions(source, recipe):
            why = "which is built as a whole from partitions"
        else:
            continue
        yield (
            f"{reader.address('query.sql')}: `{own}` reads {source.name}, {why}: a later file may change source"
            f" rows of earlier partitions, and {reader.name} would keep outdated rows of these partitions. Make"
            f" {reader.name} `replace table`, or `merge by (...)` with an affected_keys.sql in schema {source.schema},"
            " or read the staging tables"
        )


def _unseen_reads(recipe: Recipe) -> Iterator[str]:
    """Describe a merge that cannot select the keys of removed rows.

    The tables of another schema are written before the build begins, so their earlier rows are gone. The earlier rows
    of the table's own schema still exist, because the build selects the affected keys before it writes.
    """
    table, file = recipe.table, "affected_keys.sql"
    if table.disposition.kind != "merge" or not re.search(r"%\(\w+\)s", code_of(table.text(file))):
        return
    named = re.findall(r"\w+\.\w+", table.header(file).get("sources", ""))
    read = built_among(named, recipe.root)
    if any(source.schema == table.schema for source in read):
        return
    for source in read:
        if source.disposition.kind != "append" and not source.is_shared and not source.is_whole:
            yield (
                f"{table.address(file)}: `merge by ({', '.join(table.disposition.columns)})` takes its keys from"
                f" {source.name} only, whose earlier rows are gone when the build of {table.schema} begins: a key that"
                f" lost its rows would keep an outdated row. Read {table.name} there as well, or move the table to"
                f" schema {source.schema}"
            )


def _all_sources(recipe: Recipe) -> list[SqlTable]:
    """Built tables that a table reads, directly or through other tables. Shared tables are compared by content."""
    found: dict[str, SqlTable] = {}
    waiting = list(recipe.sources)
    while waiting:
        source = waiting.pop()
        if source.name not in found and not source.is_shared:
            found[source.name] = source
            waiting += built_sources(source, recipe.root)
    return [found[name] for name in sorted(found)]


def _is_of_partitions(source: SqlTable, reader: Recipe) -> bool:
    """Whether the rows of a table that is built as a whole come from a dataset or a table with partitions."""
    recipe = Recipe(source, reader.datasets, reader.contracts, reader.root)
    divided = {contract.dataset for contract in reader.contracts if contract.partition}
    return bool(divided.intersection(recipe.read_datasets)) or any(
        not below.is_whole or _is_of_partitions(below, recipe) for below in recipe.sources
    )


def _written(table: SqlTable) -> str:
    return "fill shared table" if table.is_shared else "replace table"
