"""CSV: parses an object into batches, chunk by chunk."""

from collections.abc import Iterator
from typing import Any

from tasks.contracts import Contract
from tasks.contracts.formats import Csv
from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.columns import match_columns
from tasks.engine.formats.csv_header import read_header
from tasks.engine.formats.csv_records import read_records

CHUNK_BYTES, MOST_BYTES = 1 << 20, 4 << 20
"""How much of an object is read at once: a chunk, which stays in the processor's cache; more for a long record."""


def read_csv(file: Any, name: str, contract: Contract, dialect: Csv, chunk_bytes: int) -> Iterator[Batch]:
    """Read CSV; see `tasks.engine.formats.reader.read_batches`."""
    try:
        yield from _batches(file, name, contract, dialect, chunk_bytes)
    except UnreadableObjectError as error:
        if name in str(error):
            raise
        raise type(error)(f"{name}, {error}") from error


def _batches(file: Any, name: str, contract: Contract, dialect: Csv, chunk_bytes: int) -> Iterator[Batch]:
    chunks = chunks_of(file, min(chunk_bytes, CHUNK_BYTES))
    header = read_header(chunks, dialect)
    pending, line, is_last = header.rest, header.line, header.is_last
    columns = match_columns(contract, header.names, name) if header.names else None
    while columns:
        for records in read_records(pending, columns, line, dialect=dialect, is_last=is_last):
            consumed, line = records.end, records.line
            if records.row_count or records.rejected_count:
                yield records.batch()
        del records  # frees the memory before the next chunk is read
        if is_last:
            return
        pieces = [pending[consumed:]]
        missing = min(len(pieces[0]), MOST_BYTES)  # a long record is scanned a few times, and not for each chunk
        del pending
        while not is_last and (missing > 0 or len(pieces) == 1):
            chunk, is_last = next(chunks)
            pieces.append(chunk)
            missing -= len(chunk)
        pending = b"".join(pieces)


def chunks_of(file: Any, chunk_bytes: int) -> Iterator[tuple[bytes, bool]]:
    """Yield chunks of a file, each with a flag for the last chunk. The last chunk is empty."""
    is_last = False
    while not is_last:
        chunk = file.read(chunk_bytes)
        is_last = not chunk  # a short chunk is not necessarily the last one
        yield chunk, is_last
