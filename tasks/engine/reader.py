"""The reader: an object's bytes, batch by batch, as frames under the contract's source names.

The object's name tells the format. Bytes are taken in pieces, so memory does not grow with the object.
"""

import io
from collections.abc import Iterator
from typing import Literal

import pyarrow as pa

from tasks.contracts import Contract
from tasks.engine.batches import Batch
from tasks.engine.csv_reader import read_csv
from tasks.engine.errors import ContractError, UnreadableObjectError
from tasks.engine.parquet_reader import read_parquet

COMPRESSIONS: dict[str, Literal["gzip", "zstd"]] = {".gz": "gzip", ".zst": "zstd"}


def read_batches(file: io.BufferedReader, name: str, contract: Contract) -> Iterator[Batch]:
    """Read an object batch by batch.

    Args:
        file: Its bytes; seekable for parquet.
        name: Its name, which tells the format: `.csv`, `.csv.gz`, `.csv.zst` or `.parquet`.
        contract: What its columns should be.

    Raises:
        ContractError: Columns are missing, doubled, or unknown where the contract forbids that.
        UnreadableObjectError: The bytes cannot be told apart into records.
    """
    stem, compression = name, None
    for suffix, codec in COMPRESSIONS.items():
        if name.endswith(suffix):
            stem, compression = name.removesuffix(suffix), codec
    try:
        if stem.endswith(".parquet") and compression is None:
            yield from read_parquet(file, name, contract)
        elif stem.endswith(".csv"):
            plain = pa.CompressedInputStream(pa.PythonFile(file, "r"), compression) if compression else file
            yield from read_csv(plain, name, contract)
        else:
            raise ContractError(
                f"{name}: expected .csv, .csv.gz, .csv.zst or .parquet; set the dataset's key accordingly"
            )
    except (OSError, pa.ArrowException) as error:
        raise UnreadableObjectError(
            f"{name} cannot be read: {error}; nothing of it was loaded. Have it delivered again, whole"
        ) from error
