"""Rows: encodes string columns as rows of a binary COPY, and rejects records with invalid values."""

import ctypes
import os
import struct
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from tasks.contracts import UNKNOWN_KEYS, Column, Contract
from tasks.contracts.spelling import AS_POSTGRES
from tasks.contracts.spelt_types import is_packed
from tasks.engine.errors import ContractError
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.native import binding
from tasks.engine.formats.native.binding import library
from tasks.engine.formats.string_columns import StringColumns
from tasks.engine.rejected_rows import Reason, ReasonCode, RejectedRow

Derive = Callable[[str], str | None]

HASH_KEY = (ctypes.c_uint64 * 2).from_buffer_copy(os.urandom(16))
"""Random key of the derive cache's hash function. Without this key nobody can construct texts that collide."""


_NO_LINES = binding.Lines()
_EPOCH_POWERS = {"epoch seconds": 6, "epoch milliseconds": 3}


@dataclass(frozen=True)
class Rows:
    """The encoded rows of a batch.

    Attributes:
        count: Number of rows.
        data: The rows in the format of a binary COPY.
        rejected: The rejected records, in the order of their lines.
        invalid: Positions in the batch of the well-formed records that have an invalid or missing value.
    """

    count: int
    data: bytes
    rejected: list[RejectedRow]
    invalid: list[int]


class RowEncoder:
    """Encodes rows according to a contract.

    A record is rejected if a value is invalid for its type, or if a required value is missing. The reason names the
    first such column in the contract's order. An empty string is a valid value for text columns only.

    Args:
        contract: The contract of the rows.
        constants: Binary values that precede the contract's columns in every row.
        has_lines: Whether the line number of its record follows these values in every row.

    Raises:
        ContractError: A column has an unknown type.
    """

    def __init__(self, contract: Contract, constants: Sequence[bytes] = (), *, has_lines: bool = False) -> None:
        self._contract, self._has_lines = contract, has_lines
        sources = {name: place for place, name in enumerate([*contract.sources, UNKNOWN_KEYS])}
        columns = [_column(column, sources[column.source_name]) for column in contract.read_columns]
        head = struct.pack("!h", len(constants) + has_lines + len(columns))
        head += b"".join(struct.pack("!i", len(constant)) + constant for constant in constants)
        self._callback = _DeriveCallback(contract.read_columns)
        # The encoder holds pointers to the callback and to the columns' strings, so both must stay alive.
        self._kept = binding.DeriveCallback(self._callback.derive), columns
        described = (binding.Column * len(columns))(*columns)
        encoder = library.encoder_new(described, len(columns), head, len(head), HASH_KEY, self._kept[0])
        if not encoder:
            raise MemoryError("no memory for an encoder of rows")
        weakref.finalize(self, library.encoder_free, encoder)
        self._encoder = self._callback.encoder = encoder

    def encode(self, batch: Batch) -> Rows:
        """Encode the rows of a batch."""
        encoded = self._encoded(batch.strings, batch.lines.lines if self._has_lines else _NO_LINES)
        invalid = encoded.invalid[: encoded.invalid_count]
        places = [one.row for one in invalid]
        rejected = batch.rejected
        if invalid:
            records = batch.records_of(places)
            rejections = [self._rejected(one, *record) for one, record in zip(invalid, records, strict=True)]
            rejected = sorted(rejected + rejections, key=lambda row: row.line_number)
        return Rows(encoded.row_count, ctypes.string_at(encoded.out, encoded.out_size), rejected, places)

    def invalid_rows(self, texts: StringColumns) -> list[int]:
        """Return the positions of the rows with an invalid or missing value."""
        encoded = self._encoded(texts, _NO_LINES)
        return [one.row for one in encoded.invalid[: encoded.invalid_count]]

    def _encoded(self, texts: StringColumns, lines: binding.Lines) -> binding.Encoded:
        encoded = library.encoder_encode(self._encoder, texts.columns, lines, texts.row_count)
        if not encoded:
            raise self._callback.take_error() or MemoryError(f"no memory for {texts.row_count:,} rows")
        found: binding.Encoded = encoded.contents
        return found

    def _rejected(self, invalid: binding.InvalidRow, line: int, raw: bytes) -> RejectedRow:
        column = self._contract.read_columns[invalid.column]
        text = f"{column.source_name}: expected {column.type.expected}"
        if invalid.is_missing:
            why = Reason(ReasonCode.MISSING_VALUE, f"{text}, found nothing")
        else:
            why = Reason(ReasonCode.INVALID_VALUE, text)
        return RejectedRow(line, column.source_name, why, raw)


class _DeriveCallback:
    """Calls the contract's derive functions for the encoder."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._functions = [_function(column) for column in columns]
        self.encoder: int | None = None
        self._error: BaseException | None = None

    def derive(self, place: int, text: int, size: int) -> bool:
        """Derive the value of a text and store it in the encoder. Return False after an error.

        C code cannot raise an exception, so the error is kept for `take_error`.
        """
        try:
            value = self._functions[place](ctypes.string_at(text, size).decode())
            given = b"" if value is None else value.encode()
            return bool(library.encoder_store_derived(self.encoder, given, -1 if value is None else len(given)))
        except Exception as error:
            # The error may quote the text. Without its cause, no traceback shows the text.
            self._error = error
            if self._columns[place].sensitive:
                self._error = ContractError(
                    f"column {self._columns[place].name}: expected `derive` to return a text or None, found"
                    f" {type(error).__name__}. Correct the contract"
                )
            return False
        except BaseException as error:
            self._error = error
            return False

    def take_error(self) -> BaseException | None:
        """Return and clear the error of a failed call."""
        error, self._error = self._error, None
        return error


def _function(column: Column) -> Derive:
    """Return the derive function of a column."""
    return column.value_of if column.is_derived else column.type.derive_unclear or column.value_of


def _column(column: Column, source: int) -> binding.Column:
    if column.first < 0 or len(column.after) > 1 or not column.after.isascii():
        raise ContractError(
            f"column {column.name}: expected first to be at least 0, and after to be empty or one ASCII character;"
            f" found first={column.first}, after={column.after!r}. Correct the contract"
        )
    of_nothing = column.value_of(None) if column.derive else None
    derived_null = None if of_nothing is None else of_nothing.encode()
    derive = binding.UNCLEAR if column.type.derive_unclear else binding.NEVER
    spelling = AS_POSTGRES if column.type.derive else column.spelling or AS_POSTGRES
    nulls = [text.encode() for text in column.nulls or ()]
    described = binding.Column(
        type=column.type.postgres.encode(),
        source=source,
        first=column.first,
        after=ord(column.after) if column.after else 0,
        derive=binding.ALWAYS if column.is_derived else derive,
        derived_null=derived_null,
        derived_null_size=len(derived_null or b""),
        is_nullable=column.nullable,
        is_rounded=column.type.is_rounded,
        nulls=b"".join(text + b"\0" for text in nulls),
        null_sizes=reduce(or_, (1 << min(len(text), 63) for text in nulls), 0),
        null_count=len(nulls),
        epoch=_EPOCH_POWERS.get(spelling.timestamp, 0),
        thousands=spelling.thousands.encode(),
        decimal=ord(spelling.decimal),
        has_decimals=spelling.decimal_integers,
        is_base64=spelling.binary == "base64",
        format=column.type.format.encode() if column.type.format and not column.derive else None,
        is_packed=is_packed(column.type.format),
    )
    if not library.column_type(described):
        raise ContractError(
            f"column {column.name}: expected a type of tasks.contracts.types, found {column.type.postgres}."
            " Correct the contract"
        )
    return described
