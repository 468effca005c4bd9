"""Deliveries: the objects that the lake holds of each partition of a dataset."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from tasks.contracts import Contract
from tasks.contracts.keys import KeyTemplate, folder_of, partition_name, partition_value
from tasks.engine.lake.client import Lake, StoredObject
from tasks.engine.receipts import ObjectRef


@dataclass(frozen=True)
class Delivery:
    """The objects of one partition, or of a dataset without partitions, in one listing of the lake.

    Attributes:
        sources: The delivered objects.
        waiting: Objects without a success marker, which count as not delivered yet.
        root: Address of the folder of the partition.
        marked: Addresses of the folders below `root` that hold the success marker. None: the contract needs no marker.
    """

    sources: tuple[ObjectRef, ...] = ()
    waiting: tuple[ObjectRef, ...] = ()
    root: str = ""
    marked: frozenset[str] | None = None

    def removed(self, loaded: Iterable[str]) -> tuple[str, ...]:
        """Return the loaded objects that the supplier has removed.

        No object counts as removed while a part of the delivery waits for its success marker, or while the lake holds
        no object of the partition: then somebody cleared the partition.

        Args:
            loaded: Addresses of the loaded objects of the partition.
        """
        if not self.sources or self.waiting:
            return ()
        listed = {source.uri for source in self.sources}
        return tuple(sorted(uri for uri in loaded if uri not in listed and self._is_complete(uri)))

    def _is_complete(self, uri: str) -> bool:
        return self.marked is None or not uri.startswith(self.root) or is_marked(uri, self.marked)


def current_sources(contract: Contract, delivered: Sequence[ObjectRef]) -> list[ObjectRef]:
    """Return the delivered objects that belong in the table: only the newest one if it replaces all others."""
    return list(delivered if contract.partition or contract.is_appended else delivered[:1])


def is_marked(key: str, marked: Iterable[str]) -> bool:
    """Return whether a key's folder, or a folder above it, is among the marked folders."""
    folders = marked if isinstance(marked, set | frozenset) else set(marked)
    return any(folder in folders for folder in _folders(key))


def _folders(key: str) -> Iterator[str]:
    """Yield the folder of a key and the folders above it, the deepest first, and at last the empty folder."""
    while key := folder_of(key.removesuffix("/")):
        yield key
    yield ""


def list_deliveries(
    lake: Lake, contract: Contract, template: KeyTemplate, first: date | None, last: date | None
) -> dict[str, Delivery]:
    """List the objects of a range of partitions once, by partition. Without partitions, the name is empty.

    Args:
        lake: The bucket of the objects.
        contract: The contract of the dataset.
        template: The template of the keys.
        first: A day of the first partition. None: no bound.
        last: A day of the last partition, included. None: no bound.
    """
    unit = contract.partition.unit if contract.partition else "month"
    bounds = [partition_name(day, unit) if day else None for day in (first, last)]
    prefix = template.range_prefix(first, last, unit)
    markers, found = set[str](), dict[str, list[StoredObject]]()
    for stored in lake.list(folder_of(prefix) if contract.success_marker else prefix):
        if contract.success_marker and stored.key == folder_of(stored.key) + contract.success_marker:
            markers.add(folder_of(stored.key))
        elif (name := _partition_of(contract, template, stored.key)) is not None and (
            (bounds[0] or name) <= name <= (bounds[1] or name)
        ):
            found.setdefault(name, []).append(stored)
    return {name: _delivery(lake, contract, template, name, objects, markers) for name, objects in found.items()}


def _partition_of(contract: Contract, template: KeyTemplate, key: str) -> str | None:
    """Return the name of a key's partition, or None if the key is not one of the dataset's."""
    if contract.partition is None:
        return "" if template.matches(key) else None
    day = template.date_of(key)
    return partition_name(day, contract.partition.unit) if day else None


def _delivery(
    lake: Lake,
    contract: Contract,
    template: KeyTemplate,
    partition: str,
    objects: Sequence[StoredObject],
    markers: Iterable[str],
) -> Delivery:
    value = partition_value(partition) if contract.partition else None
    unit = contract.partition.unit if contract.partition else "month"
    root = folder_of(template.listing_prefix(value, unit))
    marked = frozenset(folder for folder in markers if folder.startswith(root))
    return _divided(lake, contract, partition, objects, root, marked)


def list_fixed(lake: Lake, contract: Contract, keys: Sequence[str]) -> Delivery:
    """List the objects with the fixed keys of a dataset without partitions, the most recently written first."""
    stored = [item for key in keys for item in lake.list(key) if item.key == key]
    stored.sort(key=lambda item: item.modified_at, reverse=True)  # equal times keep the order of `keys`
    markers = {folder_of(key) + contract.success_marker for key in keys} if contract.success_marker else set[str]()
    marked = frozenset(folder_of(key) for key in markers for item in lake.list(key) if item.key == key)
    return _divided(lake, contract, "", stored, "", marked)


def _divided(
    lake: Lake,
    contract: Contract,
    partition: str,
    objects: Sequence[StoredObject],
    root: str,
    marked: frozenset[str],
) -> Delivery:
    """Divide objects into delivered ones and those that wait for their success marker."""
    is_ready = [not contract.success_marker or is_marked(stored.key, marked) for stored in objects]
    sources = [ObjectRef(lake.uri(x.key), x.version, x.size_bytes, partition, x.modified_at) for x in objects]
    return Delivery(
        tuple(source for source, ready in zip(sources, is_ready, strict=True) if ready),
        tuple(source for source, ready in zip(sources, is_ready, strict=True) if not ready),
        lake.uri(root),
        frozenset(map(lake.uri, marked)) if contract.success_marker else None,
    )
