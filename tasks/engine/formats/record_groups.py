"""Record groups: collect records of an object into groups with a bounded size and number of records."""

from collections.abc import Iterator

from tasks.engine.formats.json_records import Record

MOST_BYTES = 16 << 20
"""Maximum size of a group, unless one record is larger."""

MOST_RECORDS = 16_384


def grouped(records: Iterator[Record], chunk_bytes: int) -> Iterator[list[Record]]:
    """Group records in their order.

    Args:
        records: The records.
        chunk_bytes: Approximate size of a group in bytes.
    """
    group: list[Record] = []
    size = 0
    for record in records:
        group.append(record)
        size += len(record[1])
        if size >= min(chunk_bytes, MOST_BYTES) or len(group) >= MOST_RECORDS:
            yield group
            group, size = [], 0
    if group:
        yield group
