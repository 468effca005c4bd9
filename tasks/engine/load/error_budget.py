"""The error budget of a load: counts rejected rows by reason, keeps examples, and refuses the load if too many."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tasks.contracts import UNKNOWN_KEYS, Contract
from tasks.contracts.formats import Csv, Format, Json, Parquet, format_code
from tasks.contracts.paths import steps_of
from tasks.contracts.types import UUID
from tasks.engine.errors import ErrorBudgetError
from tasks.engine.formats.encodings import is_utf8, not_text
from tasks.engine.formats.object_formats import format_of
from tasks.engine.masking import masked_record
from tasks.engine.quoting import shown
from tasks.engine.receipts import ObjectRef
from tasks.engine.rejected_rows import RejectedRow
from tasks.engine.settings import RunSettings

EXAMPLES = 3
"""Number of example rows for each reason."""

EXAMPLE_BYTES = 1_000
"""Number of bytes that are kept of an example row."""

REASONS = 1_000
"""Maximum number of reasons with a separate count. Further reasons have one common count."""

REASONS_SHOWN = 10
UUID_CHARACTERS = 32
NO_BOUND = 1 << 62
OTHER_REASONS = "other reasons"


@dataclass
class ErrorBudget:
    """Counts the rows of one load, and refuses the load when too many of them are rejected.

    Args:
        contract: The contract of the rows.
        source: The object.
        settings: The limits `MAX_REJECTED_ROWS` and `MAX_REJECTED_SHARE`.
    """

    contract: Contract
    source: ObjectRef
    settings: RunSettings
    rows_good: int = 0
    rows_rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[RejectedRow]] = field(default_factory=dict)
    _rejected_bytes: int = 0

    @property
    def rows_read(self) -> int:
        """Number of rows that were read so far."""
        return self.rows_good + self.rows_rejected

    def count(self, good: int, rejected: Sequence[RejectedRow], names: Sequence[str]) -> None:
        """Count the rows of a batch, and stop the load if it can no longer meet its budget.

        Args:
            good: Number of valid rows in the batch.
            rejected: The rejected rows of the batch.
            names: Names of the object's columns.

        Raises:
            ErrorBudgetError: Too many rows were rejected, even if the rest of the object is valid.
        """
        self.rows_good += good
        self.rows_rejected += len(rejected)
        for row in rejected:
            self._rejected_bytes += len(row.raw)
            is_counted = row.reason in self.reasons or len(self.reasons) < REASONS
            reason = row.reason if is_counted else OTHER_REASONS
            self.reasons[reason] += 1
            kept = self.examples.setdefault(reason, [])
            if len(kept) < EXAMPLES:
                kept.append(RejectedRow(row.line_number, row.column_name, row.why, row.raw[:EXAMPLE_BYTES]))
        if self.rows_rejected > self._allowed(0) and self.rows_rejected > self._allowed(self._most_rows_left(names)):
            self._refuse("at least ", "the rest of the object was not read, because it cannot change the result")

    def check(self) -> None:
        """Refuse a load with too many rejected rows. Call it at the end of the object.

        Raises:
            ErrorBudgetError: The message has the number of rows by reason, with examples.
        """
        if self.rows_rejected > self._allowed(0):
            self._refuse("", "nothing was loaded")

    def _allowed(self, more_rows: int) -> int:
        """Return the allowed number of rejected rows if the object has this number of further valid rows."""
        return self.settings.rejected_allowed(self.rows_read + more_rows)

    def _most_rows_left(self, names: Sequence[str]) -> int:
        """Return an upper bound of the number of further valid rows, by the number of remaining bytes.

        The rows so far have at least the bytes of the rejected rows and of the shortest possible valid rows. The size
        of a compressed or parquet object does not bound its number of rows. A row of fixed width may lack its blanks,
        and the bytes of other encodings than UTF-8 are not those of the rejected rows.
        """
        form, compression = format_of(self.source.uri, self.contract)
        if compression or not isinstance(form, Csv | Json) or not is_utf8(form.encoding):
            return NO_BOUND
        shortest = _shortest_record(self.contract, names, is_json=isinstance(form, Json))
        read = self._rejected_bytes + self.rows_good * (shortest - 1)
        return max(self.source.size_bytes - read, 0) // shortest + 1

    def _refuse(self, bound: str, consequence: str) -> None:
        examples = {
            reason: ", ".join(f"line {row.line_number:,} {masked_record(self.contract, row.raw)}" for row in rows)
            for reason, rows in self.examples.items()
        }
        lines = [
            f"  {count:,} x {shown(reason, 200)}; e.g. {examples[reason]}"
            for reason, count in self.reasons.most_common(REASONS_SHOWN)
        ]
        raise ErrorBudgetError(
            f"{self.source.uri}: {bound}{self.rows_rejected:,} of {self.rows_read:,} rows were rejected, the error"
            f" budget is {self._allowed(0):,} (MAX_REJECTED_ROWS, MAX_REJECTED_SHARE); {consequence}. The table keeps"
            " its previous rows. The reasons:\n"
            + "\n".join(lines)
            + _encoding_hint(format_of(self.source.uri, self.contract)[0], self.reasons)
            + ("\nThe examples are in ledger.load_attempts" if self.contract.is_sensitive else "")
            + "\nCorrect the object, or raise the budget if these rows may be missing"
        )


def _encoding_hint(form: Format, reasons: Counter[str]) -> str:
    """Return the next step for an object in another encoding than the contract declares, or nothing."""
    if isinstance(form, Parquet) or not reasons[not_text(form.encoding).text]:
        return ""
    better = format_code(replace(form, encoding="cp1252" if is_utf8(form.encoding) else "utf-8"))
    return (
        f"\nIf all text is in one other encoding, declare the encoding of the object in the contract: format={better}"
    )


def _shortest_record(contract: Contract, names: Sequence[str], *, is_json: bool) -> int:
    """Return the minimum size of a valid row in bytes, including its separator."""
    required = {
        column.source_name: UUID_CHARACTERS if column.type == UUID else 1
        for column in contract.columns
        if not column.nullable and column.derive is None and column.source_name != UNKNOWN_KEYS
    }
    values = sum(required.values())
    if not is_json:
        return max(values + len(names), 2)  # a separator follows each value; the last one is a line feed
    sources = contract.sources
    keys = sum(min(map(_shortest_key, (name, *sources[name]))) for name in required)
    return values + keys + len("{}") + (0 if required else 1)


def _shortest_key(name: str) -> int:
    """Return the minimum size of a value's key, with its quotes and separators. Several paths may share an object."""
    last = steps_of(name)[-1]
    return len('"":,') + len(last) if isinstance(last, str) else len(",")
