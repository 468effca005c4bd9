"""Load objects into their staging tables."""

import time
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from uuid import UUID

from prefect.logging import get_run_logger

from tasks.check import check_loads
from tasks.connections import bucket_of, flow_run_id, open_lake, open_warehouse, run_settings, warehouse_slot
from tasks.contracts import Contract
from tasks.contracts.keys import partition_value
from tasks.engine import ledger
from tasks.engine.errors import FailedLoadsError, MemoryLimitError, errors_at
from tasks.engine.load.delivery import known_loads, load_delivery, removed_loads
from tasks.engine.load.load_memory import most_loads_at_once, settings_of_each_load
from tasks.engine.load.loader import load_object as load
from tasks.engine.quoting import shown
from tasks.engine.receipts import LoadReceipt, ObjectRef
from tasks.engine.warehouse.partitions import partition_table
from tasks.engine.warehouse.tables import has_table
from tasks.extract import delivery_of, list_objects
from tasks.load_report import LINES, log_rest, log_unchanged, report_load
from tasks.policy import step
from tasks.prefect_texts import show_progress, start_progress
from tasks.side_by_side import run_side_by_side

FAILURES_LIMIT = 6_000
"""Maximum number of characters about all failed objects in the error of a run."""

PROGRESS_AFTER = 5.0
"""Seconds until a load first shows its progress, and between two updates."""


class _Progress:
    """Shows the progress of a long load in the log and in an artifact."""

    def __init__(self, source: ObjectRef) -> None:
        self._source = source
        self._shown_at = time.monotonic()
        self._artifact: UUID | None = None

    def __call__(self, bytes_read: int, rows_read: int) -> None:
        if time.monotonic() - self._shown_at < PROGRESS_AFTER:
            return
        self._shown_at = time.monotonic()
        self._show(100.0 * min(bytes_read / max(self._source.size_bytes, 1), 1.0), rows_read)

    def finish(self, rows_read: int) -> None:
        if self._artifact:
            self._show(100.0, rows_read)

    def _show(self, percent: float, rows_read: int) -> None:
        text = f"{self._source.uri}: {rows_read:,} rows read, {percent:.0f} %"
        get_run_logger().info(text)
        if self._artifact:
            show_progress(self._artifact, percent, text)
        else:
            self._artifact = start_progress(percent, text)


@dataclass(frozen=True)
class Changes:
    """The comparison of a listing with the ledger.

    Attributes:
        known: Receipts of the objects that are already loaded in this version, by address.
        removed: Addresses of loaded objects that the supplier removed.
        is_new: Whether the first load must create the table of the partition.
    """

    known: dict[str, LoadReceipt]
    removed: tuple[str, ...]
    is_new: bool = False


def load_datasets(contracts: Iterable[Contract], partition: str = "", *, force: bool = False) -> list[LoadReceipt]:
    """Load the objects of some datasets as `load_objects`, after the objects of all of them were found.

    Args:
        contracts: Contracts of the datasets.
        partition: Name of the partition; a dataset without partitions ignores it.
        force: As `load_objects`.
    """
    names = [(contract, partition if contract.partition else "") for contract in contracts]
    listed = [(contract, name, list_objects(contract, name)) for contract, name in names]
    return [load for contract, name, sources in listed for load in _load(contract, name, sources, force=force)]


def load_objects(contract: Contract, partition: str = "", *, force: bool = False) -> list[LoadReceipt]:
    """Bring the rows of a partition, or of a dataset without partitions, to what the lake holds, and check them.

    New and changed objects are loaded, each exactly once, and side by side as far as `LOAD_MEMORY_MB` permits. If some
    of them fail, the others are still loaded, and the run fails. If the supplier removed objects from the partition,
    one transaction loads the others and deletes the rows of the removed objects. A partition without any object in the
    lake keeps its rows.

    Args:
        contract: Contract of the staging table.
        partition: Name of the partition; empty for a dataset without partitions.
        force: Load the objects again even if they are loaded, and allow fewer rows, or none, to replace rows.

    Raises:
        FailedLoadsError: Several objects failed. The message names each. If one object failed, its error is raised.
        MissingObjectError: The lake has no object, and the dataset is not optional.
    """
    return _load(contract, partition, list_objects(contract, partition), force=force)


def load_side_by_side(objects: Sequence[tuple[Contract, ObjectRef]]) -> list[LoadReceipt]:
    """Load one object of each of several datasets, side by side as far as `LOAD_MEMORY_MB` permits.

    The largest object is loaded first, so that no large load runs alone at the end.

    Args:
        objects: The objects, each with the contract of its staging table.

    Returns:
        The receipts in the order of the objects.

    Raises:
        FailedLoadsError: Several objects failed. The message names each. If one object failed, its error is raised.
    """
    at_once = min(most_loads_at_once(run_settings()), max(len(objects), 1))
    found = _load_all(sorted(objects, key=_size, reverse=True), at_once, force=False)
    errors = {uri: one for uri, one in found.items() if isinstance(one, Exception)}
    _refuse_failed(", ".join(contract.table for contract, source in objects if source.uri in errors), errors, found)
    return [one for _, source in objects if not isinstance(one := found[source.uri], Exception)]


def _size(one: tuple[Contract, ObjectRef]) -> int:
    return one[1].size_bytes


def _load(contract: Contract, partition: str, sources: Sequence[ObjectRef], *, force: bool) -> list[LoadReceipt]:
    changes = Changes({}, ())
    if sources and (contract.partition or contract.is_appended):
        changes = list_changes(contract, partition, sources, force=force)
    if changes.removed:
        loads = replace_objects(contract, partition, force=force)
    else:
        loads = _load_each(contract, sources, changes, force=force)
    check_loads(contract, loads)
    return loads


def _load_each(contract: Contract, sources: Sequence[ObjectRef], changes: Changes, *, force: bool) -> list[LoadReceipt]:
    """Load the objects that are not loaded yet, and return the receipts of all objects."""
    new = [source for source in sources if source.uri not in changes.known]
    if len(new) == 1:
        return [changes.known.get(each.uri) or load_object(contract, each, force=force) for each in sources]
    found = _load_new(contract, new, is_new=changes.is_new, force=force)
    errors = {uri: one for uri, one in found.items() if isinstance(one, Exception)}
    _refuse_failed(contract.table, errors, sources)
    return [one for each in sources if not isinstance(one := changes.known.get(each.uri) or found[each.uri], Exception)]


def _load_new(
    contract: Contract, new: Sequence[ObjectRef], *, is_new: bool, force: bool
) -> dict[str, LoadReceipt | Exception]:
    """Load several objects, and return the receipt or the error of each by its address."""
    found: dict[str, LoadReceipt | Exception] = {}
    objects = [(contract, source) for source in new]
    # Other loads would only wait until one load has created the table of the partition.
    while is_new and len(found) < len(new):
        source = new[len(found)]
        found |= _load_all([(contract, source)], 1, force=force)
        is_new = isinstance(found[source.uri], Exception)
    return found | _load_all(objects[len(found) :], most_loads_at_once(run_settings()), force=force)


def _load_all(
    objects: Sequence[tuple[Contract, ObjectRef]], at_once: int, *, force: bool
) -> dict[str, LoadReceipt | Exception]:
    """Load objects, and return the receipt or the error of each by its address."""

    def load_some(some: Sequence[tuple[Contract, ObjectRef]], at_once: int) -> dict[str, LoadReceipt | Exception]:
        calls = [
            {"contract": contract, "source": source, "force": force, "at_once": at_once} for contract, source in some
        ]
        receipts = run_side_by_side(load_object, calls, at_once)
        return {source.uri: receipt for (_, source), receipt in zip(some, receipts, strict=True)}

    if at_once == 1:
        return load_some(objects, 1)
    found = load_some(objects, at_once)
    # An object with parts that are too large for its share of the memory may fit alone.
    large = [each for each in objects if isinstance(found[each[1].uri], MemoryLimitError)]
    return found | load_some(large, 1)


def _refuse_failed(tables: str, errors: Mapping[str, Exception], objects: Sized) -> None:
    """Raise the error of a run in which objects failed.

    Raises:
        FailedLoadsError: Several objects failed. If one object failed, its error is raised.
    """
    if len(errors) == 1:
        raise next(iter(errors.values()))
    if not errors:
        return
    named = list(errors.items())[:LINES]
    lines = [f"  {shown(uri)}: {shown(str(error), FAILURES_LIMIT // len(named))}" for uri, error in named]
    if len(errors) > LINES:
        lines.append(f"  {len(errors) - LINES:,} more; the failed task runs name them")
    raise FailedLoadsError(
        f"{tables}: expected to load {len(objects):,} objects, found {len(errors):,} that failed. All other"
        " objects are loaded. Correct the failed objects and run again:\n" + "\n".join(lines)
    )


@step(task_run_name="List changes of {contract.dataset} {partition}")
def list_changes(contract: Contract, partition: str, sources: Sequence[ObjectRef], *, force: bool = False) -> Changes:
    """Compare the objects of a partition with the ledger.

    Args:
        contract: Contract of the staging table.
        partition: Name of the partition; empty for a dataset without partitions.
        sources: The listed objects.
        force: Treat every object as new.
    """
    logger = get_run_logger()
    with open_warehouse() as connection, errors_at("ledger.loads"):
        # The load of a single object compares it with the ledger itself.
        known = known_loads(connection, contract, partition, sources) if len(sources) > 1 and not force else []
        is_new = not has_table(connection, partition_table(contract, partition_value(partition) if partition else None))
        missing = ledger.current_loads(connection, contract.dataset, partition).keys() - {x.uri for x in sources}
        removed: list[str] = []
        if missing and contract.partition:
            with open_lake(bucket_of(contract)) as lake:
                delivery = delivery_of(lake, contract, partition)
            removed = [x.source_uri for x in removed_loads(connection, contract, partition, delivery)]
    for receipt in known[:LINES]:
        log_unchanged(receipt)
    log_rest(len(known), "objects that are already loaded")
    for uri in removed[:LINES]:
        logger.warning("%s was loaded, but the supplier removed it from %s: its rows will be deleted", uri, partition)
    log_rest(len(removed), "removed objects")
    return Changes({receipt.source_uri: receipt for receipt in known}, tuple(removed), is_new)


@step(task_run_name="Replace objects of {contract.dataset} {partition}")
def replace_objects(contract: Contract, partition: str, *, force: bool = False) -> list[LoadReceipt]:
    """Load a corrected delivery: in one transaction, load its objects and delete the rows of removed objects.

    Args:
        contract: Contract of the staging table.
        partition: Name of the partition.
        force: Load the objects again even if they are loaded, and allow fewer rows, or none, to replace rows.
    """
    settings = run_settings()
    with warehouse_slot(), open_warehouse() as connection, open_lake(bucket_of(contract)) as lake:
        receipts = load_delivery(
            connection,
            lake,
            contract,
            partition,
            lambda: delivery_of(lake, contract, partition),
            settings,
            reconnect=open_warehouse,
            force=force,
            flow_run_id=flow_run_id(),
            on_progress=_Progress,
        )
    for receipt in receipts:
        report_load(contract, receipt, settings)
    return receipts


@step(task_run_name="Load {contract.dataset} {source.partition}")
def load_object(contract: Contract, source: ObjectRef, *, force: bool = False, at_once: int = 1) -> LoadReceipt:
    """Load one object exactly once. A version that is already loaded is skipped.

    Args:
        contract: Contract of the staging table.
        source: Object and version to load.
        force: Load the object again even if this version is loaded, and allow fewer rows, or none, to replace rows.
        at_once: How many loads of the run share `LOAD_MEMORY_MB`.
    """
    progress = _Progress(source)
    settings = settings_of_each_load(run_settings(), at_once)
    with warehouse_slot(), open_warehouse() as connection, open_lake(source.bucket) as lake:
        receipt = load(
            connection,
            lake,
            contract,
            # The latest version: the object may have been replaced since the listing, or since an earlier try.
            lake.latest(source),
            settings,
            force=force,
            flow_run_id=flow_run_id(),
            on_progress=progress,
            reconnect=open_warehouse,
        )
    progress.finish(receipt.rows_read)
    report_load(contract, receipt, settings)
    return receipt
