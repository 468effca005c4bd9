"""Suggestions: the change of a column that would take the values that it rejects.

Each candidate is a changed column, and the encoder of loads decides which values it takes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tasks.contracts import Column, Contract
from tasks.engine.errors import ContractError
from tasks.engine.formats.rows import RowEncoder
from tasks.engine.formats.string_columns import StringColumns
from tasks.engine.load.wider_types import wider_types
from tasks.engine.load.written_values import NULL_MARKERS, spellings

TRIED = 20
"""Number of rejected texts on which a candidate is tried first."""

FEW = 0.01
"""At most this share of the rows counts as damaged rows, which need no change of the contract."""

SHOWN_WAYS = 3
"""Maximum number of candidates that a suggestion lists if several take all values."""


class Values:
    """The texts of one source of a sample.

    Args:
        contract: The contract of the source.
        texts: The texts, in parts of one column each.
    """

    def __init__(self, contract: Contract, texts: Sequence[StringColumns]) -> None:
        self._contract, self._texts = contract, texts
        self.row_count = sum(part.row_count for part in texts)

    def count_invalid(self, column: Column) -> int:
        """Return the number of texts that a column rejects."""
        return self._count(column, self._texts)

    def count_invalid_of(self, column: Column, texts: Sequence[str]) -> int:
        """Return the number of some other texts that a column rejects."""
        return self._count(column, [StringColumns.of(column.source_name, texts)])

    def _count(self, column: Column, texts: Iterable[StringColumns]) -> int:
        encoder = encoder_of(self._contract, column)
        return sum(len(encoder.invalid_rows(part)) for part in texts)


def encoder_of(contract: Contract, column: Column) -> RowEncoder:
    """Return an encoder of rows that consist of one column of a contract."""
    return RowEncoder(replace(contract, columns=(column,), indexes=()))


@dataclass(frozen=True)
class Change:
    """A change of a column.

    Attributes:
        text: The change as the contract would spell it, such as `nulls=("NA",)`.
        column: The changed column.
    """

    text: str
    column: Column


def suggestion_of(contract: Contract, column: Column, rejected: Counter[str | None], values: Values) -> str:
    """Suggest a change of a column that takes the values that it rejects. An empty text suggests nothing.

    Args:
        contract: The contract of the column.
        column: The column.
        rejected: The rejected texts, each with the number of its rows. None is a missing value.
        values: All texts of the column's source.
    """
    first = _nulls(contract, column, rejected)
    base = first[-1].column if first else column
    left = values.count_invalid(base)
    texts = [text for text, _ in rejected.most_common() if text is not None and text not in (base.nulls or ())]
    second = _best(contract, base, texts, values, left) if texts and left and not column.is_derived else ""
    parts = [change.text for change in first] + ([second] if second else [])
    return " and ".join(parts)


def _nulls(contract: Contract, column: Column, rejected: Counter[str | None]) -> list[Change]:
    """Changes that allow missing values: null markers among the rejected texts, and rows without a value."""
    markers = tuple(text for text in rejected if text is not None and (text in NULL_MARKERS or not text.strip()))
    changes: list[Change] = []
    if markers:
        column = replace(column, nulls=(*contract.nulls_of(column), *markers))
        spelt = ", ".join(map(_literal, column.nulls or ()))
        changes.append(Change(f"nulls=({spelt}{',' if len(column.nulls or ()) == 1 else ''})", column))
    if not column.nullable and (markers or None in rejected):
        changes.append(Change("nullable=True, if a value may be missing", replace(column, nullable=True)))
    return changes


def _best(contract: Contract, column: Column, texts: Sequence[str], values: Values, left: int) -> str:
    """Return the change that takes all or nearly all values."""
    tried = texts[:TRIED]
    few = FEW * values.row_count
    nearly: tuple[int, str] | None = None
    for group in _groups(contract, column, texts):
        complete: list[str] = []
        for change in group:
            if _invalid(values, change, tried) > len(tried) // 2:
                continue
            count = values.count_invalid(change.column)
            if not count:
                complete.append(change.text)
            elif count < left and count <= few and (nearly is None or count < nearly[0]):
                nearly = count, change.text
        if complete:
            both = ", and the sample does not show which" if len(complete) > 1 else ""
            return " or ".join(complete[:SHOWN_WAYS]) + both
    if nearly:
        return f"{nearly[1]}; {nearly[0]:,} rows of the sample would still be rejected"
    return "type TEXT" if left > few else ""


def _invalid(values: Values, change: Change, texts: Sequence[str]) -> int:
    try:
        return values.count_invalid_of(change.column, texts)
    except (ContractError, ValueError):  # the type does not have this spelling
        return len(texts)


def _groups(contract: Contract, column: Column, texts: Sequence[str]) -> Iterator[list[Change]]:
    """Yield candidates, those that keep the type first. Within a group, several may take all values."""
    spelling = contract.spelling_of(column)
    for group in spellings(column.type, spelling, texts):
        yield [Change(f"spelling={text}", replace(column, spelling=other)) for text, other in group]
    for name, type_ in wider_types(column.type, texts):
        wider = replace(column, type=type_)
        yield [Change(f"type {name}", wider)]
        for group in spellings(type_, spelling, texts):
            yield [Change(f"type {name} and spelling={text}", replace(wider, spelling=other)) for text, other in group]


def _literal(text: str) -> str:
    escaped = text.encode("unicode_escape").decode() if not text.isprintable() else text.replace("\\", "\\\\")
    return '"' + escaped.replace('"', '\\"') + '"'
