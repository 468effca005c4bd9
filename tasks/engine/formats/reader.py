"""The reader: an object's bytes, batch by batch, as texts under the contract's source names.

The object's name tells the format. Bytes are taken in pieces, so memory does not grow with the object.
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
    """Read an object batch by batch.

    Args:
        file: Its bytes; seekable for parquet.
        name: Its name, which tells the format: one of `FORMATS`, all but parquet also with one of `COMPRESSIONS`.
        contract: What its columns should be.
        chunk_bytes: About how many bytes a batch holds, which bounds the memory that reading takes.

    Raises:
        ContractError: Columns are missing, doubled, or unknown where the contract forbids that.
        UnreadableObjectError: The bytes cannot be told apart into records.
    """
    suffix, compression = format_of(name)
    if contract.unknown_keys_column and suffix not in JSON_FORMATS:
        raise ContractError(
            f"{name}: expected JSON, for only its records have the keys of {contract.unknown_keys_column}"
        )
    with named_causes(file, name, contract, suffix, compression):
        if (suffix, compression) == (".csv", None):
            yield from read_csv(file, name, contract, chunk_bytes)
            return
        # Plain CSV does without Arrow and polars, which take half a second to import.
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
    """Format (one of `FORMATS`) and compression of an object, by its name.

    Raises:
        ContractError: The name tells none.
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
        f"{name}: expected a name that ends with {', '.join(FORMATS)}, or, but for parquet, one of these and"
        f" {' or '.join(COMPRESSIONS)}; set the dataset's key accordingly"
    )
