"""The reader: parses an object into batches of string columns.

The suffix of the object's name selects the format. The reader processes the object in chunks, so its memory use does
not depend on the object's size.
"""

import io
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tasks.contracts import Contract
from tasks.engine.errors import ContractError
from tasks.engine.formats.batches import CHUNK_BYTES, Batch
from tasks.engine.formats.csv_reader import read_csv
from tasks.engine.formats.format_hints import named_causes

if TYPE_CHECKING:
    from tasks.engine.formats.arrow_streams import Compression

COMPRESSIONS: "dict[str, Compression]" = {".gz": "gzip", ".zst": "zstd"}
JSON_FORMATS = (".ndjson", ".jsonl", ".json")
FORMATS = (".csv", *JSON_FORMATS, ".parquet")


def read_batches(
    file: io.BufferedReader, name: str, contract: Contract, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[Batch]:
    """Read an object in batches.

    Args:
        file: The object's bytes; seekable for parquet.
        name: The object's name. It ends with one of `FORMATS`, which may be followed by one of `COMPRESSIONS` (except
            for parquet).
        contract: The expected columns.
        chunk_bytes: Approximate size of a batch in bytes, which bounds the memory use.

    Raises:
        ContractError: Columns are missing or duplicated, or unknown although the contract forbids unknown columns.
        UnreadableObjectError: The object cannot be split into records.
    """
    suffix, compression = format_of(name)
    if contract.unknown_keys_column and suffix not in JSON_FORMATS:
        raise ContractError(
            f"{name}: expected JSON, because only JSON records have the keys for column {contract.unknown_keys_column}."
            " Deliver the object as JSON, or remove the column from the contract"
        )
    with named_causes(file, name, contract, suffix, compression):
        if (suffix, compression) == (".csv", None):
            yield from read_csv(file, name, contract, chunk_bytes)
            return
        # Plain CSV needs neither Arrow nor polars, and importing them takes half a second.
        arrow = import_module("tasks.engine.formats.arrow_streams")
        with arrow.errors_of_bytes(name):
            yield from _reader(suffix)(arrow.decompressed(file, compression), name, contract, chunk_bytes)


def _reader(suffix: str) -> Any:
    match suffix:
        case ".csv":
            return read_csv
        case ".parquet":
            return import_module("tasks.engine.formats.parquet_reader").read_parquet
        case ".json":
            return import_module("tasks.engine.formats.json_reader").read_json
        case _:
            return import_module("tasks.engine.formats.json_reader").read_ndjson


def format_of(name: str) -> "tuple[str, Compression | None]":
    """Return the format (one of `FORMATS`) and the compression of an object by the suffix of its name.

    Raises:
        ContractError: The name has no known suffix.
    """
    stem = name
    compression: Compression | None = None
    for suffix, codec in COMPRESSIONS.items():
        if name.endswith(suffix):
            stem, compression = name.removesuffix(suffix), codec
    for suffix in FORMATS:
        if stem.endswith(suffix) and not (suffix == ".parquet" and compression):
            return suffix, compression
    raise ContractError(
        f"{name}: expected a name that ends with {', '.join(FORMATS)}. {' or '.join(COMPRESSIONS)} may follow, except"
        " after .parquet. Correct the dataset's key"
    )
