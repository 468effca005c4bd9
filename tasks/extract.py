"""List the objects of a partition in the lake."""

import difflib
from collections.abc import Sequence
from datetime import date

from prefect.logging import get_run_logger

from tasks.connections import open_lake, value_of
from tasks.contracts import Contract
from tasks.contracts.keys import KeyTemplate, partition_name, partition_value
from tasks.engine.errors import ContractError, MissingObjectError
from tasks.engine.lake.client import Lake
from tasks.engine.receipts import ObjectRef
from tasks.policy import step

NEAREST = 3


def key_template(contract: Contract) -> KeyTemplate:
    """Return the template of the keys of a dataset's objects, from the settings of its contract.

    Raises:
        ContractError: The contract declares no prefix or no key.
    """
    if contract.prefix_setting is None or contract.key_setting is None:
        raise ContractError(
            f"contract {contract.dataset} has partitions: expected `prefix` and `key`, found none. Add them"
        )
    return KeyTemplate(value_of(contract.prefix_setting), value_of(contract.key_setting))


def objects_of(lake: Lake, contract: Contract, partition: str = "") -> list[ObjectRef]:
    """Objects of one partition, in the order of their keys; without partitions, the dataset's object, newest first.

    Raises:
        MissingObjectError: The lake has no such object; the message names the bucket, the key and similar keys.
    """
    found = delivered_objects(lake, contract, partition)
    if found or contract.is_optional:
        return found
    if contract.partition is None:
        raise _missing_fixed_object(lake, contract)
    unit = contract.partition.unit
    value = partition_value(partition)
    template = key_template(contract)
    days = (template.date_of(stored.key) for stored in lake.list(template.listing_prefix(None)))
    existing = {partition_name(day, unit) for day in days if day}
    nearest = sorted(existing, key=lambda name: (_distance(partition_value(name), value), name))[:NEAREST]
    raise MissingObjectError(
        f"no object for {partition}: expected {lake.uri(template.key_of(value))}, found none in bucket {lake.bucket};"
        f" the nearest that exist: {', '.join(sorted(nearest)) or 'none at all, check the prefix and the key'}."
        f" Run again when it has been delivered, or run another {unit}"
    )


def delivered_objects(lake: Lake, contract: Contract, partition: str = "") -> list[ObjectRef]:
    """As `objects_of`, but an empty list if the lake has no such object."""
    if contract.partition is None:
        if partition:
            raise ContractError(f"dataset {contract.dataset} has no partitions: expected none, asked for {partition}")
        keys = _fixed_keys(contract)
        stored = [item for key in keys for item in lake.list(key) if item.key == key]
        stored.sort(key=lambda item: item.modified_at, reverse=True)  # stable: first name first
    else:
        unit = contract.partition.unit
        template = key_template(contract)
        stored = [
            item
            for item in lake.list(template.listing_prefix(partition_value(partition), unit))
            if (day := template.date_of(item.key)) and partition_name(day, unit) == partition
        ]
    return [ObjectRef(lake.uri(x.key), x.version, x.size_bytes, partition, x.modified_at) for x in stored]


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
        f" {lake.bucket}; the nearest that exist: {', '.join(nearest) or 'none at all, check the prefix'}."
        " Run again when it has been delivered, or declare its name in the contract"
    )


def _distance(one: date, other: date) -> int:
    return abs((one - other).days)


@step(task_run_name="List objects of {contract.dataset} {partition}")
def list_objects(contract: Contract, partition: str = "") -> list[ObjectRef]:
    """List the objects of one partition with their current versions.

    A dataset without partitions has one object, or no object if the dataset is optional and missing.
    """
    with open_lake() as lake:
        return _listed(lake, contract, partition)


@step(task_run_name="List objects of all datasets {partition}")
def list_datasets(contracts: Sequence[Contract], partition: str = "") -> list[tuple[Contract, ObjectRef]]:
    """List the objects of some datasets, each with its contract. Objects of optional datasets may be missing.

    Args:
        contracts: Contracts of the datasets.
        partition: Partition to list; a dataset without partitions ignores it.
    """
    with open_lake() as lake:
        return [
            (contract, source)
            for contract in contracts
            for source in _listed(lake, contract, partition if contract.partition else "")
        ]


def _listed(lake: Lake, contract: Contract, partition: str = "") -> list[ObjectRef]:
    found = objects_of(lake, contract, partition)
    if contract.partition is None:
        for stale in found[1:]:
            get_run_logger().warning("%s is older than %s: skipped", stale.uri, found[0].uri)
        found = found[:1]
    if not found:
        get_run_logger().info("No object of %s: its table does not change", contract.dataset)
    for source in found:
        get_run_logger().info("Found %s, %s bytes, version %s", source.uri, f"{source.size_bytes:,}", source.version)
    return found
