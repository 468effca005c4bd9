"""The reader: parses an object into batches of string columns.

The contract or the suffix of the object's name selects the format. The reader processes the object in chunks, so its
memory use does not depend on the object's size.
"""

import io
from collections.abc import Generator, Iterator
from importlib import import_module
from typing import Any

from tasks.contracts import Contract
from tasks.contracts.formats import Csv, FixedWidth, Format, Json, Ndjson, Parquet
from tasks.engine.errors import ContractError
from tasks.engine.formats.batches import CHUNK_BYTES, Batch
from tasks.engine.formats.csv_reader import read_csv
from tasks.engine.formats.encodings import utf8_of
from tasks.engine.formats.format_hints import NoSoundRecordError, named_causes
from tasks.engine.formats.object_formats import format_of


def read_batches(
    file: io.BufferedReader, name: str, contract: Contract, chunk_bytes: int = CHUNK_BYTES
) -> Generator[Batch, None, None]:
    """Read an object in batches.

    Args:
        file: The object's bytes; seekable for parquet.
        name: The object's name; see `tasks.engine.formats.object_formats.format_of`.
        contract: The expected columns.
        chunk_bytes: Approximate size of a batch in bytes, which bounds the memory use.

    Raises:
        ContractError: Columns are missing or duplicated, or unknown although the contract forbids unknown columns.
        UnreadableObjectError: The object cannot be split into records, or all of its records are malformed and its
            first bytes show another format.
    """
    form, compression = format_of(name, contract)
    if contract.unknown_keys_column and not isinstance(form, Json):
        raise ContractError(
            f"{name}: expected JSON, because only JSON records have the keys for column {contract.unknown_keys_column}."
            " Deliver the object as JSON, or remove the column from the contract"
        )
    with named_causes(file, name, contract, form, compression):
        if not compression:
            yield from _checked(_read(file, name, contract, form, chunk_bytes))
            return
        streams = import_module("tasks.engine.formats.compressed_streams")
        with streams.errors_of_bytes(name):
            plain = streams.decompressed(file, name, compression, chunk_bytes)
            yield from _checked(_read(plain, name, contract, form, chunk_bytes))


def _checked(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield batches, and report if all of their records are malformed.

    Raises:
        NoSoundRecordError: All records are malformed.
    """
    sound = malformed = 0
    for batch in batches:
        sound += batch.strings.row_count
        malformed += len(batch.rejected)
        yield batch
        del batch
    if malformed and not sound:
        raise NoSoundRecordError(f"expected a record, found {malformed:,} malformed ones")


def _read(file: Any, name: str, contract: Contract, form: Format, chunk_bytes: int) -> Iterator[Batch]:
    """Read decompressed bytes with the reader of a format, and import no other reader.

    Parquet needs Arrow, and fixed width needs polars. Importing them takes time and memory that other formats save.
    """
    batches: Iterator[Batch]
    match form:
        case Csv():
            batches = read_csv(utf8_of(file, form.encoding), name, contract, form, chunk_bytes)
        case FixedWidth():
            reader = import_module("tasks.engine.formats.fixed_width_reader")
            batches = reader.read_fixed_width(utf8_of(file, form.encoding), name, contract, form, chunk_bytes)
        case Parquet():
            reader = import_module("tasks.engine.formats.parquet_reader")
            batches = reader.read_parquet(file, name, contract, chunk_bytes)
        case Ndjson():
            reader = import_module("tasks.engine.formats.json_reader")
            batches = reader.read_ndjson(utf8_of(file, form.encoding), name, contract, chunk_bytes)
        case Json():
            reader = import_module("tasks.engine.formats.json_reader")
            batches = reader.read_json(utf8_of(file, form.encoding), name, contract, chunk_bytes)
    return batches
