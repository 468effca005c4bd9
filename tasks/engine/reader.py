"""The reader: an object's bytes, batch by batch, as frames under the contract's source names.

The object's name tells the format. Bytes are taken in pieces, so memory does not grow with the object.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pyarrow as pa

from tasks.contracts import Contract
from tasks.engine.batches import CHUNK_BYTES, Batch
from tasks.engine.csv_reader import read_csv
from tasks.engine.errors import ContractError, UnreadableObjectError
from tasks.engine.json_reader import read_json, read_ndjson
from tasks.engine.parquet_reader import read_parquet

COMPRESSIONS: dict[str, Literal["gzip", "zstd"]] = {".gz": "gzip", ".zst": "zstd"}
READERS: dict[str, Callable[[Any, str, Contract, int], Iterator[Batch]]] = {
    ".csv": read_csv,
    ".ndjson": read_ndjson,
    ".jsonl": read_ndjson,
    ".json": read_json,
    ".parquet": read_parquet,
}


def read_batches(
    file: io.BufferedReader, name: str, contract: Contract, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[Batch]:
    """Read an object batch by batch.

    Args:
        file: Its bytes; seekable for parquet.
        name: Its name, which tells the format: one of `READERS`, all but parquet also with one of `COMPRESSIONS`.
        contract: What its columns should be.
        chunk_bytes: About how many bytes a batch holds, which bounds the memory that reading takes.

    Raises:
        ContractError: Columns are missing, doubled, or unknown where the contract forbids that.
        UnreadableObjectError: The bytes cannot be told apart into records.
    """
    suffix, compression = format_of(name)
    if contract.unknown_keys_column and READERS[suffix] not in (read_json, read_ndjson):
        raise ContractError(
            f"{name}: expected JSON, for only its records have the keys of {contract.unknown_keys_column}"
        )
    with errors_of_bytes(name):
        yield from READERS[suffix](decompressed(file, compression), name, contract, chunk_bytes)


def format_of(name: str) -> tuple[str, Literal["gzip", "zstd"] | None]:
    """Format (a key of `READERS`) and compression of an object, by its name.

    Raises:
        ContractError: The name tells none.
    """
    stem, compression = name, None
    for suffix, codec in COMPRESSIONS.items():
        if name.endswith(suffix):
            stem, compression = name.removesuffix(suffix), codec
    for suffix in READERS:
        if stem.endswith(suffix) and not (suffix == ".parquet" and compression):
            return suffix, compression
    raise ContractError(
        f"{name}: expected a name that ends with {', '.join(READERS)}, or, but for parquet, one of these and"
        f" {' or '.join(COMPRESSIONS)}; set the dataset's key accordingly"
    )


def decompressed(file: io.BufferedReader, compression: Literal["gzip", "zstd"] | None) -> Any:
    """The file, or one over what it holds compressed."""
    return pa.CompressedInputStream(pa.PythonFile(file, "r"), compression) if compression else file


@contextmanager
def errors_of_bytes(name: str) -> Iterator[None]:
    """Say of bytes that cannot be decompressed or are no parquet which object they are.

    Raises:
        UnreadableObjectError: In place of the library's error.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise UnreadableObjectError(
            f"{name} cannot be read: {error}; nothing of it was loaded. Have it delivered again, whole"
        ) from error
