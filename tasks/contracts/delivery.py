"""Check how a contract says that its objects are delivered."""

from typing import Literal

Delivery = Literal["replace", "append"]
"""Whether the newest object of a dataset without partitions replaces all rows, or each object adds its rows once."""


def check_delivery(
    dataset: str, delivery: Delivery, *, is_partitioned: bool, has_key: bool, has_keys: bool, success_marker: str
) -> None:
    """Check the fields of a contract that say which objects are delivered.

    Args:
        dataset: Name of the dataset.
        delivery: What a new object does.
        is_partitioned: Whether the contract declares partitions.
        has_key: Whether the contract declares a key template.
        has_keys: Whether the contract declares fixed keys.
        success_marker: Name of the object that completes a delivery.

    Raises:
        ValueError: The fields contradict each other.
    """
    if delivery == "append" and is_partitioned:
        raise ValueError(
            f'contract {dataset}, delivery: expected "append" only without partitions, found both. Remove one: with'
            " partitions, each new object of a partition adds its rows"
        )
    if delivery == "append" and (has_keys or not has_key):
        raise ValueError(
            f'contract {dataset}, delivery: expected "append" with a template in `key`, such as key="*.csv", and no'
            f" `keys`, found {'`keys`' if has_keys else 'no `key`'}"
        )
    if "/" in success_marker:
        raise ValueError(
            f"contract {dataset}, success_marker: expected the name of an object in the folder of the data, such as"
            f" _SUCCESS, found {success_marker!r}"
        )
