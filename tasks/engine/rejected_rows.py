"""Rejected rows: records that do not become rows, with their position and reason."""

from dataclasses import dataclass
from enum import StrEnum


class ReasonCode(StrEnum):
    """The stable code of a reason to reject a record. Texts of reasons may change, codes do not.

    `docs/input.md` explains each code.
    """

    INVALID_VALUE = "invalid_value"
    MISSING_VALUE = "missing_value"
    NOT_UTF8 = "not_utf8"
    NUL_BYTE = "nul_byte"
    TOO_MANY_FIELDS = "too_many_fields"
    TOO_FEW_FIELDS = "too_few_fields"
    BAD_QUOTE = "bad_quote"
    STRAY_CARRIAGE_RETURN = "stray_carriage_return"
    NOT_ONE_RECORD = "not_one_record"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    NESTED_TOO_DEEPLY = "nested_too_deeply"
    TOO_MANY_KEYS = "too_many_keys"
    DUPLICATE_COLUMN = "duplicate_column"
    WRONG_TYPE_ON_PATH = "wrong_type_on_path"


@dataclass(frozen=True)
class Reason:
    """Why a record is rejected.

    Attributes:
        code: The stable code.
        text: The reason in words, with the names and the limits of this record.
    """

    code: ReasonCode
    text: str


@dataclass(frozen=True)
class RejectedRow:
    """A rejected record: its position, the reason and its bytes.

    Attributes:
        line_number: First physical line of the record in the decompressed object, starting at 1. In parquet, the row
            number, starting at 1.
        column_name: Column of the object with the invalid value; None if the record is malformed.
        why: The reason.
        raw: Bytes of the record.
    """

    line_number: int
    column_name: str | None
    why: Reason
    raw: bytes

    @property
    def reason(self) -> str:
        """The reason in words."""
        return self.why.text
