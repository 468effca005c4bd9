"""List the objects of a partition in the lake."""

import difflib
from datetime import date
from itertools import islice

from prefect.logging import get_run_logger

from tasks.connections import bucket_of, open_lake, open_warehouse, value_of
from tasks.contracts import Contract
from tasks.contracts.keys import KeyTemplate, Unit, folder_of, partition_value
from tasks.engine.backfill.finished_partitions import loaded_partitions
from tasks.engine.errors import ContractError, MissingObjectError
from tasks.engine.lake.client import Lake
from tasks.engine.lake.deliveries import Delivery, current_sources, list_deliveries, list_fixed
from tasks.engine.receipts import ObjectRef
from tasks.policy import step
from tasks.run_summary import counted

NEAREST = 3
LINES = 50
"""Maximum number of log lines about found objects."""


def key_template(contract: Contract) -> KeyTemplate:
    """Return the template of the keys of a dataset's objects, from the settings of its contract.

    Raises:
        ContractError: The contract declares no prefix or no key.
    """
    if contract.prefix_setting is None or contract.key_setting is None:
        raise ContractError(
            f"contract {contract.dataset}: expected `prefix` and `key` for the names of its objects, found none."
            " Add them"
        )
    return KeyTemplate(value_of(contract.prefix_setting), value_of(contract.key_setting))


def objects_of(lake: Lake, contract: Contract, partition: str = "") -> list[ObjectRef]:
    """Delivered objects of one partition, in the order of their keys. With fixed keys, the newest object is first.

    Raises:
        MissingObjectError: The lake has no such object, or lacks its success marker. The message names the bucket, the
            key and similar keys.
    """
    delivery = delivery_of(lake, contract, partition)
    if delivery.sources or contract.is_optional:
        return list(delivery.sources)
    if delivery.waiting:
        raise _incomplete_delivery(contract, delivery, partition)
    if contract.partition:
        raise _missing_partition(lake, contract, contract.partition.unit, partition)
    if contract.is_appended:
        raise _missing_appended_object(lake, contract)
    raise _missing_fixed_object(lake, contract)


def delivery_of(lake: Lake, contract: Contract, partition: str = "") -> Delivery:
    """The objects that the lake holds of one partition, or of a dataset without partitions.

    Raises:
        ContractError: A partition is given, and the dataset has none.
        ValueError: The name of the partition has no valid form.
    """
    value = partition_value(partition) if contract.partition else None
    if partition and contract.partition is None:
        raise ContractError(f"dataset {contract.dataset} has no partitions: expected no partition, found {partition}")
    return deliveries_between(lake, contract, value, value).get(partition, Delivery())


def deliveries_between(lake: Lake, contract: Contract, first: date | None, last: date | None) -> dict[str, Delivery]:
    """The objects of a range of partitions, by partition. Without partitions, the name is empty.

    Args:
        lake: The bucket of the objects.
        contract: Contract of the dataset.
        first: A day of the first partition; None for no bound.
        last: A day of the last partition, included; None for no bound.
    """
    if contract.partition is None and not contract.is_appended:
        return {"": list_fixed(lake, contract, _fixed_keys(contract))}
    bounds = (first, last) if contract.partition else (None, None)
    return list_deliveries(lake, contract, key_template(contract), *bounds)


def _incomplete_delivery(contract: Contract, delivery: Delivery, partition: str) -> MissingObjectError:
    first = delivery.waiting[0].uri
    return MissingObjectError(
        f"the delivery of {contract.dataset} {partition}".rstrip() + " is not complete: expected"
        f" {folder_of(first)}{contract.success_marker}, found {len(delivery.waiting):,} objects without it,"
        f" such as {first}. Run again when the supplier has written {contract.success_marker}"
    )


def _missing_partition(lake: Lake, contract: Contract, unit: Unit, partition: str) -> MissingObjectError:
    value, template = partition_value(partition), key_template(contract)
    existing = deliveries_between(lake, contract, None, None)
    nearest = sorted(existing, key=lambda name: (_distance(partition_value(name), value), name))[:NEAREST]
    return MissingObjectError(
        f"no object for {partition}: expected {lake.uri(template.key_of(value))}, found none in bucket {lake.bucket};"
        f" the nearest {unit}s there: {', '.join(sorted(nearest)) or 'none at all, check the prefix and the key'}."
        f" Run again when the object has been delivered, or choose another {unit}"
    )


def _missing_appended_object(lake: Lake, contract: Contract) -> MissingObjectError:
    template = key_template(contract)
    existing = [stored.key for stored in islice(lake.list(template.prefix), NEAREST)]
    return MissingObjectError(
        f"no object of {contract.dataset}: expected {lake.uri(template.prefix + template.template)}, found none in"
        f" bucket {lake.bucket}; objects with this prefix: {', '.join(existing) or 'none at all, check the prefix'}."
        " Run again when an object has been delivered"
    )


def _fixed_keys(contract: Contract) -> list[str]:
    prefix = _prefix_of(contract)
    return [prefix + key for key in contract.keys]


def _prefix_of(contract: Contract) -> str:
    if not contract.keys or contract.prefix_setting is None:
        raise ContractError(
            f"dataset {contract.dataset} has no objects with fixed names: each run of its flow writes its own."
            " Choose another dataset"
        )
    return value_of(contract.prefix_setting)


def _missing_fixed_object(lake: Lake, contract: Contract) -> MissingObjectError:
    keys = _fixed_keys(contract)
    existing = [stored.key for stored in lake.list(_prefix_of(contract))]
    nearest = difflib.get_close_matches(keys[0], existing, n=NEAREST)
    return MissingObjectError(
        f"no object of {contract.dataset}: expected {' or '.join(map(lake.uri, keys))}, found none in bucket"
        f" {lake.bucket}; the nearest keys: {', '.join(nearest) or 'none at all, check the prefix'}."
        " Run again when the object has been delivered, or declare its name in the contract"
    )


def _distance(one: date, other: date) -> int:
    return abs((one - other).days)


def _refuse_loaded(contract: Contract, partition: str, error: MissingObjectError) -> None:
    """Raise the error of a partition without objects, unless the partition was emptied.

    Raises:
        MissingObjectError: The partition was never loaded, or its rows are still loaded.
    """
    with open_warehouse() as connection:
        (entry,) = loaded_partitions(connection, contract.dataset, partition, partition) or (None,)
    if entry is None:
        raise error
    if entry.objects:
        raise MissingObjectError(
            f"{error}. The rows of {counted(len(entry.objects), 'object')} remain in {contract.table}. To remove them,"
            f" run reset for dataset {contract.dataset} and partition {partition}"
        ) from error
    get_run_logger().info("%s %s has no object any more: its tables lose its rows", contract.dataset, partition)


@step(task_run_name="List objects of {contract.dataset} {partition}")
def list_objects(contract: Contract, partition: str = "") -> list[ObjectRef]:
    """List the objects of one partition with their current versions.

    A dataset without partitions has one object, or no object if the dataset is optional and missing. A dataset of
    appended objects has any number of them. An emptied partition has none: a run builds its tables without rows.

    Raises:
        MissingObjectError: The lake has no object of the partition.
    """
    with open_lake(bucket_of(contract)) as lake:
        try:
            delivered = objects_of(lake, contract, partition)
        except MissingObjectError as error:
            if not partition or delivery_of(lake, contract, partition).waiting:
                raise
            _refuse_loaded(contract, partition, error)
            delivered = []
    found = current_sources(contract, delivered)
    for stale in delivered[len(found) :]:
        get_run_logger().warning("%s is older than %s: skipped", stale.uri, found[0].uri)
    if not found:
        get_run_logger().info("No object of %s: its table does not change", contract.dataset)
    for source in found[:LINES]:
        get_run_logger().info("Found %s, %s bytes, version %s", source.uri, f"{source.size_bytes:,}", source.version)
    if len(found) > LINES:
        get_run_logger().info("Found %s more objects", f"{len(found) - LINES:,}")
    return found
