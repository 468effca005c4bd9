"""The inputs of a built table (its files, parameters, loads and source tables) and their fingerprint.

A build compares the current fingerprint with the fingerprint in the ledger. The plan of a backfill makes the same
comparison with the same functions, so it finds the tables that the build will write.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from psycopg import sql

from tasks.contracts import Contract
from tasks.engine.build.checks import checks_of
from tasks.engine.build.sql_code import code_of, statements_of
from tasks.engine.build.sql_files import FILES, ROOT, SqlTable, built_sources, tables_of, views_of
from tasks.engine.errors import SqlFileError
from tasks.engine.warehouse.tables import Connection, has_table, table_name

Parameters = Mapping[str, Any]
Inputs = dict[str, str]
"""The inputs of a table: a digest by a readable name, such as `dataset orders`."""

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_COMMENT = re.compile("COMMENT ON ", re.IGNORECASE)
_QUERIES = ("query.sql", "affected_keys.sql", "checks.sql")


@dataclass(frozen=True)
class Build:
    """One build step of a pipeline: the tables of a schema, and their inputs.

    Attributes:
        schema: The schema; all tables of the build are built in one transaction.
        contracts: Contracts of the staging tables that the schema's tables read.
        parameters: Returns the values of the queries' parameters for the name of a partition.
        root: Folder of the SQL.
        tables: Names of the tables of the build, such as `core.orders`; empty for all tables of the schema.
    """

    schema: str
    contracts: tuple[Contract, ...]
    parameters: Callable[[str], Parameters]
    root: Path = ROOT
    tables: tuple[str, ...] = ()

    @property
    def recipes(self) -> "list[Recipe]":
        """Recipes of the build's tables, in the order of the build."""
        found = recipes_of(self.schema, (), self.contracts, self.root)
        return [recipe for recipe in found if not self.tables or recipe.table.name in self.tables]

    def split_off(self, *names: str) -> "tuple[Build, Build]":
        """Split some tables off into a later build.

        Each of the two builds has its own transaction. While the later build runs, a build of another schema may run.

        Args:
            names: Names of the tables of the later build.

        Returns:
            The build of all other tables, and the later build.

        Raises:
            SqlFileError: The build lacks one of these tables, or another of its tables reads one of them.
        """
        recipes = {recipe.table.name: recipe for recipe in self.recipes}
        first = {name: recipe for name, recipe in recipes.items() if name not in names}
        if unknown := [name for name in names if name not in recipes]:
            raise SqlFileError(f"expected tables of {self.schema} ({', '.join(recipes)}), found {', '.join(unknown)}")
        for name, recipe in first.items():
            if read := [source.name for source in recipe.sources if source.name in names]:
                raise SqlFileError(
                    f"{recipe.table.address('query.sql')}: {name} reads {', '.join(read)}, which the later build"
                    f" writes: build {name} later, too"
                )
        return replace(self, tables=tuple(first)), replace(self, tables=names)


@dataclass
class BuildState:
    """The current loads, builds and shared contents.

    Attributes:
        loads: Ids of the current loads, by dataset and partition.
        builds: Fingerprints of built tables, by table and partition; the partition is empty for a table that is built
            as a whole.
        shared: Digests of the contents of shared tables, by table.
    """

    loads: Mapping[str, Mapping[str, Sequence[int]]]
    builds: dict[str, dict[str, str]] = field(default_factory=dict)
    shared: Mapping[str, str] = field(default_factory=dict)

    def loads_of(self, partition: str) -> tuple[int, ...]:
        """Ids of the loads of a partition and of the loads without a partition; for an empty name, of all loads."""
        names = (parts for found in self.loads.values() for parts in found.items())
        return tuple(sorted(load for name, ids in names if not partition or name in ("", partition) for load in ids))

    def enter(self, table: str, partition: str, fingerprint: str) -> None:
        """Record a fingerprint that a build is about to write."""
        self.builds.setdefault(table, {})[partition] = fingerprint


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a build writes to a table.

    Attributes:
        table: The table.
        datasets: Names of the datasets of the build.
        contracts: Contracts of the datasets, as far as they are known. The table depends on a dataset with a contract
            only if an SQL file of the table or of one of its views names the staging table. The table depends on every
            dataset without a contract, unless the table reads only built tables of its own schema.
        root: Folder of the SQL.
    """

    table: SqlTable
    datasets: tuple[str, ...]
    contracts: tuple[Contract, ...] = ()
    root: Path = ROOT

    def ledger_partition(self, partition: str) -> str:
        """The partition under which the ledger records a build: empty for a table that is built as a whole."""
        return "" if self.table.is_whole else partition

    def inputs(self, partition: str, parameters: Parameters, state: BuildState) -> Inputs:
        """Digests of all inputs of a build for a partition, by name.

        A table that is built as a whole depends on all partitions of its sources. Any other table depends on its own
        partition, and on sources without partitions.

        Raises:
            SqlFileError: The table needs a parameter that has no value.
        """
        if missing := sorted(self._needed - parameters.keys()):
            raise SqlFileError(
                f"{self.table.address('query.sql')}: expected a value for {', '.join(missing)}, found values for"
                f" {', '.join(sorted(parameters)) or 'nothing'}; give the build that parameter"
            )
        is_all = self.table.is_whole or not partition
        inputs = dict(self._files)
        inputs |= {f"parameter {name}": _digest(parameters[name]) for name in self._needed}
        inputs |= {f"shared table {name}": _digest(state.shared.get(name, "")) for name in self.shared_sources}
        tables = [source.name for source in self.sources if source.name not in self.shared_sources]
        parts: list[tuple[str, Mapping[str, Any]]]
        parts = [(f"dataset {name}", state.loads.get(name, {})) for name in self.read_datasets]
        parts += [(f"table {name}", state.builds.get(name, {})) for name in tables]
        for name, found in parts:
            inputs[name] = _digest(found if is_all else {key: found[key] for key in ("", partition) if key in found})
        return inputs

    @cached_property
    def sources(self) -> list[SqlTable]:
        """Built tables that the table reads, directly or through views."""
        return built_sources(self.table, self.root)

    @cached_property
    def read_datasets(self) -> list[str]:
        """Names of the datasets whose staging tables the table reads, directly or through views."""
        views = views_of(self.table, self.root)
        texts = "\n".join([*map(self.table.text, FILES), *(view.text("table.sql") for view in views)])
        known = {contract.dataset: contract.table for contract in self.contracts}
        read = {
            name for name, staging in known.items() if re.search(rf"(?<![\w.]){re.escape(staging)}(?![\w.])", texts)
        }
        own = {source.name for source in self.sources if source.schema == self.table.schema}
        names = {name for name in self.table.sources if name != self.table.name}
        if not names or names - own:
            read |= set(self.datasets) - known.keys()
        return sorted(read)

    @cached_property
    def shared_sources(self) -> list[str]:
        """Names of the shared tables of other schemas that the table reads: their contents count."""
        return [source.name for source in self.sources if source.is_shared and source.schema != self.table.schema]

    @cached_property
    def _files(self) -> Inputs:
        views = views_of(self.table, self.root)
        files = [(self.table, file) for file in FILES] + [(view, "table.sql") for view in views]
        return {f"sql {table.name}/{file}": file_digest(table, file) for table, file in files if table.text(file)}

    @cached_property
    def _needed(self) -> set[str]:
        column = self.table.replaced_column
        return self.placeholders | ({column} if column else set())

    @cached_property
    def placeholders(self) -> set[str]:
        """Names of the parameters that the table's files use."""
        return {name for file in _QUERIES for name in _PLACEHOLDER.findall(code_of(self.table.text(file)))}


def recipes_of(
    schema: str, datasets: Iterable[str] = (), contracts: Iterable[Contract] = (), root: Path = ROOT
) -> list[Recipe]:
    """Recipes of the tables of a schema that have a query, each after those that it reads."""
    contracts = tuple(contracts)
    names = tuple(dict.fromkeys([*datasets, *(contract.dataset for contract in contracts)]))
    return [Recipe(table, names, contracts, root) for table in tables_of(schema, root) if table.text("query.sql")]


def read_state(connection: Connection, recipes: Sequence[Recipe], partition: str | None) -> BuildState:
    """Read the current inputs of some tables from the warehouse.

    Args:
        connection: To the warehouse.
        recipes: Recipes of the tables.
        partition: Partition to build; None for all partitions.
    """
    names = sorted({name for recipe in recipes for name in recipe.datasets})
    tables = sorted({table.name for recipe in recipes for table in (recipe.table, *recipe.sources)})
    loads = connection.execute(
        "SELECT dataset, partition, array_agg(load_id ORDER BY load_id) FROM ledger.loads"
        " WHERE dataset = ANY(%s) AND status = 'loaded' AND (%s::text IS NULL OR partition IN (%s, ''))"
        " GROUP BY dataset, partition",
        [names, partition, partition],
    )
    builds = connection.execute(
        "SELECT table_name, partition, fingerprint FROM ledger.builds"
        " WHERE table_name = ANY(%s) AND (%s::text IS NULL OR partition IN (%s, ''))",
        [tables, partition, partition],
    )
    return BuildState(_nested(loads), _nested(builds), shared_contents(connection, recipes))


def shared_contents(connection: Connection, recipes: Iterable[Recipe]) -> dict[str, str]:
    """A digest of the rows of each shared source table, because the ledger does not record every change there."""
    query = sql.SQL("SELECT concat_ws(' ', count(*), sum(hashtextextended(t::text, 0))) FROM {} AS t")
    names = {name for recipe in recipes for name in recipe.shared_sources if has_table(connection, name)}
    return {name: str(connection.execute(query.format(table_name(name))).fetchone()) for name in sorted(names)}


def _nested(rows: Iterable[tuple[Any, ...]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, partition, value in rows:
        found.setdefault(name, {})[partition] = value
    return found


def fingerprint_of(inputs: Inputs) -> str:
    """The fingerprint of a build's inputs: if an input changes, the fingerprint changes."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def wanted_inputs(
    recipes: Iterable[Recipe], partition: str, parameters: Parameters, state: BuildState
) -> Iterator[tuple[Recipe, Inputs]]:
    """The current inputs of a build of a partition, table by table in the order of the build.

    The function enters each fingerprint into the state, where later tables find it.
    """
    for recipe in recipes:
        inputs = recipe.inputs(partition, parameters, state)
        state.enter(recipe.table.name, recipe.ledger_partition(partition), fingerprint_of(inputs))
        yield recipe, inputs


def file_digest(table: SqlTable, file: str) -> str:
    """The digest of everything in a file that decides which rows a build writes, or whether it may.

    Comments of all kinds and the names of checks do not count. Of the header, only the key and the write disposition
    count.
    """
    if file == "checks.sql":
        return _digest([(severity, statements_of(body)) for severity, _, body in checks_of(table)])
    statements = statements_of(table.text(file))
    if file == "query.sql":
        return _digest([table.disposition.kind, table.disposition.columns, table.is_shared, table.key, statements])
    return _digest([each for each in statements if not _COMMENT.match(each)])


def _digest(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
