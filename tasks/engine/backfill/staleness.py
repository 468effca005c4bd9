"""Find stale partitions: an input of their tables changed after the last complete run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

from tasks.contracts import Contract
from tasks.contracts.digests import contract_digest
from tasks.contracts.keys import has_unit
from tasks.engine.backfill.finished_partitions import LoadedObject, PartitionEntry, loaded_partitions
from tasks.engine.backfill.lost_rows import lost_partitions
from tasks.engine.build.build_inputs import Build, BuildState, Inputs, Recipe, fingerprint_of, read_state, wanted_inputs
from tasks.engine.build.sql_files import built_sources, sql_digest
from tasks.engine.errors import ContractError
from tasks.engine.lake.deliveries import Delivery, current_sources
from tasks.engine.warehouse.tables import Connection, count_rows, has_table


@dataclass(frozen=True)
class PipelineInputs:
    """All inputs of the partitions of a pipeline.

    Attributes:
        contract: Contract of the partitioned dataset.
        secondary: Contracts of the other datasets that a run loads: dimensions, and datasets with the same partitions.
        builds: The steps that build tables, in the order of the flow.

    Raises:
        ContractError: The dataset has no partitions, or a secondary dataset has partitions of another unit.
    """

    contract: Contract
    secondary: tuple[Contract, ...] = ()
    builds: tuple[Build, ...] = ()

    def __post_init__(self) -> None:
        """Verify the units."""
        own = self.contract.partition
        if own is None:
            raise ContractError(
                f"dataset {self.contract.dataset}: expected a contract with partitions, because a pipeline runs one"
                " partition at a time, found none"
            )
        for contract in self.secondary:
            if contract.partition and contract.partition.unit != own.unit:
                raise ContractError(
                    f"dataset {contract.dataset}: expected partitions of a {own.unit}, as {self.contract.dataset} has,"
                    f" found partitions of a {contract.partition.unit}"
                )

    @cached_property
    def recipes(self) -> tuple[tuple[Build, tuple[Recipe, ...]], ...]:
        """The recipes of each step's tables."""
        return tuple((build, tuple(build.recipes)) for build in self.builds)


@dataclass(frozen=True)
class CurrentPartition:
    """The loaded state of a partition.

    Attributes:
        versions: Version of each loaded object, by URI.
        is_finished: Whether a run of the pipeline completed with these loads.
        changes: Inputs that changed after that run, such as `dataset rates`.
        is_lost: Whether the table has lost all rows of the partition.
    """

    versions: Mapping[str, str]
    is_finished: bool
    changes: tuple[str, ...] = ()
    is_lost: bool = False

    @property
    def is_emptied(self) -> bool:
        """Whether no object of the partition is loaded any more."""
        return not self.versions

    @property
    def is_current(self) -> bool:
        """Whether the tables hold what the ledger says, and no input changed."""
        return self.is_finished and not self.changes and not self.is_lost


def read_current(
    connection: Connection,
    pipeline: PipelineInputs,
    first: str | None,
    last: str | None,
    listed: Mapping[str, Mapping[str, Delivery]],
) -> dict[str, CurrentPartition]:
    """Read the loaded and the emptied partitions of a range, with their changed inputs.

    Some changed inputs are up to date after a run of any one partition, such as a table that is built as a whole and
    that no partition reads. If no partition needs a run for another reason, these inputs make the last partition with
    objects stale.

    Args:
        connection: To the warehouse.
        pipeline: Inputs of the pipeline.
        first: First partition of the range; None for the first loaded partition.
        last: Last partition of the range; None for the last loaded partition.
        listed: Listed objects of each dataset of the pipeline, by partition.
    """
    contract = pipeline.contract
    entries = [
        entry
        for entry in loaded_partitions(connection, contract.dataset, first, last)
        # No run can build a partition of another unit, which the contract had earlier.
        if entry.objects or (own := contract.partition) is None or has_unit(entry.partition, own.unit)
    ]
    if not entries:
        return {}
    comparison = _Comparison(connection, pipeline, listed, entries)
    found = {entry.partition: comparison.current(entry) for entry in entries}
    lost = lost_partitions(connection, contract, entries)
    found |= {name: replace(found[name], is_lost=True) for name in lost}
    deliveries = {name: listed.get(contract.dataset, {}).get(name, Delivery()) for name in found}
    delivered = [name for name in found if deliveries[name].sources]
    emptied = [name for name in found if found[name].is_emptied and not deliveries[name].waiting]
    if comparison.of_any_run and delivered and all(found[name].is_current for name in delivered + emptied):
        last = max(delivered)
        found[last] = replace(found[last], changes=tuple(comparison.of_any_run))
    return found


@dataclass
class _Comparison:
    """Compares the current inputs with the inputs of the finished partitions."""

    connection: Connection
    pipeline: PipelineInputs
    listed: Mapping[str, Mapping[str, Delivery]]
    entries: Sequence[PartitionEntry]
    _wanted: dict[tuple[str, str], Inputs] = field(default_factory=dict)
    """By table and the ledger's partition."""

    def __post_init__(self) -> None:
        recipes = [recipe for _, found in self.pipeline.recipes for recipe in found]
        self._state = read_state(self.connection, recipes, None) if recipes else BuildState({})
        built = {(table, name): mark for table, found in self._state.builds.items() for name, mark in found.items()}
        for number, entry in enumerate(self.entries):
            # A table that is built as a whole is the same for all partitions. Its inputs are computed twice: first for
            # the tables that read it, and again at the end, when all its sources are known.
            with_whole = number in (0, len(self.entries) - 1)
            for build, found in self.pipeline.recipes:
                due = [recipe for recipe in found if with_whole or not recipe.table.is_whole]
                parameters = build.parameters(entry.partition)
                for recipe, inputs in wanted_inputs(due, entry.partition, parameters, self._state):
                    self._wanted[recipe.table.name, recipe.ledger_partition(entry.partition)] = inputs
        self._built = built
        self._secondary = {
            contract.dataset: {e.partition: e for e in loaded_partitions(self.connection, contract.dataset, None, None)}
            for contract in self.pipeline.secondary
        }
        self._lost = {
            contract.dataset: lost_partitions(self.connection, contract, self._secondary[contract.dataset].values())
            for contract in self.pipeline.secondary
        }
        self._of_all, self.of_any_run = self._changes_without_partition()
        self._digest_of = lru_cache(sql_digest)

    def current(self, entry: PartitionEntry) -> CurrentPartition:
        """The loaded state of one partition."""
        versions = {uri: loaded.version for uri, loaded in entry.objects.items()}
        changes = [*self._of_all]
        if _is_of_another_contract(entry.objects.values(), self.pipeline.contract):
            changes.append(f"contract of {self.pipeline.contract.dataset}")
        for contract in self.pipeline.secondary:
            if contract.partition:
                changes += self._changed_objects(contract, entry.partition)
        built, is_built = self._changed_tables(entry)
        changes += built
        is_finished = bool(entry.sql_digest) and entry.load_ids == entry.finished_ids and is_built
        return CurrentPartition(versions, is_finished, tuple(dict.fromkeys(changes)))

    def _changed_tables(self, entry: PartitionEntry) -> tuple[list[str], bool]:
        """Changed inputs of the partition's tables, and whether the last complete run made the current builds."""
        if entry.builds is None:  # an entry of an older version, which compared only the SQL
            is_same = self._digest_of(entry.schemas) == entry.sql_digest
            return ([] if is_same or not entry.sql_digest else ["sql"]), True
        wanted = {
            name: fingerprint_of(self._wanted[name, entry.partition])
            for name in {recipe.table.name for _, found in self.pipeline.recipes for recipe in found}
            if (name, entry.partition) in self._wanted
        }
        stale = [name for name, mark in wanted.items() if self._built.get((name, entry.partition)) != mark]
        changes = self._differences([(name, entry.partition) for name in stale])
        return changes, bool(stale) or dict(entry.builds) == wanted

    def _changes_without_partition(self) -> tuple[list[str], list[str]]:
        """Changed inputs of all partitions, and changed inputs that a run of any one partition brings up to date."""
        of_all: list[str] = []
        of_any_run: list[str] = []
        for contract in self.pipeline.secondary:
            if contract.partition is None and (changed := self._changed_objects(contract, "")):
                (of_all if self._reaches_partitions(contract) else of_any_run).extend(changed)
        for _, recipes in self.pipeline.recipes:
            for recipe in recipes:
                if recipe.table.is_whole and self._is_stale(recipe):
                    is_read = any(recipe.table.name in reader.shared_sources for reader in self._partition_recipes)
                    (of_all if is_read else of_any_run).extend(self._differences([(recipe.table.name, "")]))
        return of_all, of_any_run

    def _is_stale(self, recipe: Recipe) -> bool:
        """Whether a build would write a table that is built as a whole; false if another owner wrote rows to it."""
        name = recipe.table.name
        if self._built.get((name, "")) == fingerprint_of(self._wanted[name, ""]):
            return False
        if not recipe.table.is_shared:
            return True
        if not has_table(self.connection, name):
            return False
        row = self.connection.execute(
            "SELECT row_count FROM ledger.builds WHERE table_name = %s AND partition = ''", [name]
        ).fetchone()
        return count_rows(self.connection, name) == (row[0] if row else 0)

    @cached_property
    def _partition_recipes(self) -> list[Recipe]:
        return [recipe for _, found in self.pipeline.recipes for recipe in found if not recipe.table.is_whole]

    def _reaches_partitions(self, contract: Contract) -> bool:
        """Whether the tables of a partition depend on a dataset, directly or through other tables."""
        waiting, seen = list(self._partition_recipes), set[str]()
        while waiting:
            recipe = waiting.pop()
            if contract.dataset in recipe.read_datasets:
                return True
            for source in built_sources(recipe.table, recipe.root):
                if source.name not in seen:
                    seen.add(source.name)
                    waiting.append(Recipe(source, recipe.datasets, recipe.contracts, recipe.root))
        return not self.pipeline.builds

    def _changed_objects(self, contract: Contract, partition: str) -> list[str]:
        """The name of a secondary dataset if the lake has other versions of its objects than the database."""
        entry = self._secondary[contract.dataset].get(partition)
        loaded: Mapping[str, LoadedObject] = entry.objects if entry else {}
        delivery = self.listed.get(contract.dataset, {}).get(partition, Delivery())
        found = current_sources(contract, delivery.sources)
        is_replaced = contract.partition is not None and bool(delivery.removed(loaded))
        if found and contract.partition is None and not contract.is_appended:
            is_replaced = len(loaded) > 1  # the dataset appended objects before
        if is_replaced or any(
            source.uri not in loaded or loaded[source.uri].version != source.version for source in found
        ):
            return [f"dataset {contract.dataset}"]
        if found and _is_of_another_contract(loaded.values(), contract):
            return [f"contract of {contract.dataset}"]
        if found and partition in self._lost[contract.dataset]:
            return [f"rows of {contract.dataset}"]
        return []

    def _differences(self, tables: Sequence[tuple[str, str]]) -> list[str]:
        """Names of the inputs that changed after the build of some tables.

        If a changed table has changed inputs of its own, only those inputs are named.
        """
        causes: set[str] = set()
        for table, partition in tables:
            before, now = self._stored.get((table, partition)) or {}, self._wanted[table, partition]
            for name in sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name)):
                source = name.removeprefix("table ")
                known = [(source, key) for key in ("", partition) if (source, key) in self._wanted and source != table]
                causes.update(self._differences(known) or [name])
        return sorted(causes)

    @cached_property
    def _stored(self) -> dict[tuple[str, str], Inputs | None]:
        """The inputs of every build in the ledger; None in entries of older versions."""
        rows = self.connection.execute(
            "SELECT table_name, partition, to_jsonb(b) -> 'inputs' FROM ledger.builds AS b WHERE table_name = ANY(%s)",
            [sorted({table for table, _ in self._wanted})],
        )
        return {(table, partition): inputs for table, partition, inputs in rows}


def _is_of_another_contract(objects: Iterable[LoadedObject], contract: Contract) -> bool:
    digest = contract_digest(contract)
    return any(loaded.contract_digest not in (None, digest) for loaded in objects)
