"""Footers of parquet files: their limit, and columns that are encrypted."""

import base64
import io
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from copied_rows import validated
from pyarrow.parquet import encryption

from tasks.contracts import Column, Contract
from tasks.contracts.types import BIGINT
from tasks.engine.errors import MemoryLimitError, UnreadableObjectError
from tasks.engine.formats.batches import CHUNK_BYTES
from tasks.engine.formats.reader import read_batches
from tasks.engine.formats.thrift_structs import end_of_fields

SMALLEST_CHUNK = 256 << 10


def contract(*names: str) -> Contract:
    columns = tuple(Column(name, BIGINT, f"{name}.", nullable=False) for name in names)
    return Contract("x", "x_staging.x", "One row per x.", columns)


def row_count(data: bytes, wanted: Contract, chunk_bytes: int = CHUNK_BYTES) -> int:
    batches = read_batches(io.BufferedReader(io.BytesIO(data)), "x.parquet", wanted, chunk_bytes)
    return sum(batch.strings.row_count - len(validated(wanted, batch).rejected) for batch in batches)


def test_footer_that_does_not_fit_into_the_memory_of_a_load_is_refused() -> None:
    sink = io.BytesIO()
    table = pa.table({f"column_{number}": [1] * 40 for number in range(1000)})
    pq.write_table(table, sink, row_group_size=1)
    data = sink.getvalue()
    assert int.from_bytes(data[-8:-4], "little") > 4 << 20
    assert row_count(data, contract("column_0", "column_999")) == 40
    message = (
        r"x\.parquet: expected a footer of at most 4,096 kB.*found one of [4-9],\d+ kB\. Nothing was loaded\..*fewer"
        r" row groups.*or raise LOAD_MEMORY_MB"
    )
    with pytest.raises(MemoryLimitError, match=message):
        row_count(data, contract("column_0"), SMALLEST_CHUNK)


class Kms(encryption.KmsClient):
    """Wraps keys in base64; no secret is needed to read a test's file."""

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        del master_key_identifier
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
        del master_key_identifier
        return base64.b64decode(wrapped_key)


def test_encrypted_column_is_refused_only_if_the_contract_needs_it() -> None:
    factory = encryption.CryptoFactory(lambda _: Kms())
    configuration = encryption.EncryptionConfiguration(
        footer_key="footer", column_keys={"column": ["secret"]}, plaintext_footer=True, cache_lifetime=timedelta(1)
    )
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), configuration)
    table, sink = pa.table({"id": [1, 2], "secret": [3, 4]}), io.BytesIO()
    with pq.ParquetWriter(sink, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    assert row_count(sink.getvalue(), contract("id")) == 2
    message = r"x\.parquet, column secret: expected values without encryption, found encrypted ones"
    with pytest.raises(UnreadableObjectError, match=message):
        row_count(sink.getvalue(), contract("id", "secret"))


@pytest.mark.parametrize(
    ("data", "end"),
    [
        pytest.param(b"\x15\x02\x19\x0c\x16\x04\x19\x0c\0", 6, id="usual-order"),
        pytest.param(b"\x15\x02\x19\x0c\x29\x0c\0", 0, id="field-before-it-is-missing"),
        pytest.param(b"\x15\x02\x19\x0c\x16\x04\0", 0, id="field-is-missing"),
        pytest.param(b"\x25\x02\x05\x02\x02\0", 0, id="other-order"),
    ],
)
def test_fields_before_the_row_groups_end_where_the_row_groups_begin(data: bytes, end: int) -> None:
    assert end_of_fields(data, 4) == end


def test_struct_that_ends_too_early_is_unreadable() -> None:
    with pytest.raises(UnreadableObjectError, match="expected a whole parquet header"):
        end_of_fields(b"\x15\x02\x19", 4)
