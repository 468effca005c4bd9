"""Which write dispositions may read which: combinations that would leave a table with old rows are refused."""

from collections.abc import Iterable, Iterator

from tasks.engine.build.build_inputs import Recipe
from tasks.engine.build.sql_files import SqlTable, built_sources
from tasks.engine.errors import SqlFileError

_KINDS = {"merge": "merged", "append": "appended to", "upsert": "appended to and changed"}


def refuse_combinations(recipes: Iterable[Recipe]) -> None:
    """Refuse tables that would keep rows which a later partition has made wrong.

    Args:
        recipes: Of the tables of one schema.

    Raises:
        SqlFileError: There is such a table; the message says what to use instead.
    """
    if errors := list(combination_errors(recipes)):
        raise SqlFileError("; ".join(errors))


def combination_errors(recipes: Iterable[Recipe]) -> Iterator[str]:
    """What is wrong with the combination of some tables, one sentence for each error.

    A later partition may change a table that is merged or appended to, and a table that is built as a whole from
    partitions. A table of partitions that reads such a table, directly or through others, would be built again for
    that later partition alone. A merge may read another merge: its `affected_keys.sql` says what else it decides again.

    A table that is built as a whole must not depend on the partition of the build: each partition would write another
    table.

    Args:
        recipes: Of the tables of one schema.
    """
    recipes = list(recipes)
    columns = {recipe.table.replaced_column for recipe in recipes} - {None}
    for recipe in recipes:
        table = recipe.table
        if not table.is_whole:
            yield from _stale_reads(recipe)
        elif used := recipe.placeholders & columns:
            yield (
                f"{table.address('query.sql')}: `{_written(table)}` uses %({min(map(str, used))})s, the parameter of a"
                f" partition: each partition would write another table; use `replace partition ({min(map(str, used))})`"
            )


def _stale_reads(recipe: Recipe) -> Iterator[str]:
    reader = recipe.table
    own = f"replace partition ({reader.replaced_column})" if reader.replaced_column else reader.disposition.kind
    for source in _all_sources(recipe):
        if source.disposition.kind != "replace" and reader.replaced_column:
            why = f"which is {_KINDS[source.disposition.kind]}"
        elif source.is_whole and _is_of_partitions(source, recipe):
            why = "which is built as a whole from partitions"
        else:
            continue
        yield (
            f"{reader.address('query.sql')}: `{own}` reads {source.name}, {why}: a later file may change rows that"
            f" earlier partitions of {reader.name} were made from, and these would keep their old rows. Make"
            f" {reader.name} `replace table`, or `merge by (...)` with an affected_keys.sql in schema {source.schema},"
            " or read the staging tables"
        )


def _all_sources(recipe: Recipe) -> list[SqlTable]:
    """Built tables that a table reads, directly or through others; not shared ones, whose contents are compared."""
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
        not behind.is_whole or _is_of_partitions(behind, recipe) for behind in recipe.sources
    )


def _written(table: SqlTable) -> str:
    return "fill shared table" if table.is_shared else "replace table"
