"""The check of a sample: which rows a load would reject, by column, with examples and a suggestion for the contract.

The encoder of loads decides about each value, so the check and the load agree.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tasks.contracts import UNKNOWN_KEYS, Column, Contract
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.rows import RowEncoder
from tasks.engine.formats.string_columns import StringColumns
from tasks.engine.load.sampling import Sample, row_count
from tasks.engine.load.suggestions import Values, encoder_of, suggestion_of
from tasks.engine.masking import HIDDEN, masked_record
from tasks.engine.quoting import quoted
from tasks.engine.settings import RunSettings

EXAMPLES = 3
"""Number of examples of a column or a reason."""

VALUE_LIMIT = 40
"""Maximum number of characters of a value in an example."""


@dataclass(frozen=True)
class Problem:
    """Rows of a sample that a load would reject for one cause.

    Attributes:
        column: Name of the table's column; None for malformed records.
        expected: The type of the column and what it takes, or the reason why records are malformed.
        row_count: Number of these rows in the sample. A row with several invalid values counts for each column.
        examples: Some different values, each with the number of its rows and where the first one is.
        suggestion: The change of the contract that would take the values; empty if none is known.
    """

    column: str | None
    expected: str
    row_count: int
    examples: tuple[str, ...]
    suggestion: str = ""


@dataclass(frozen=True)
class SampleCheck:
    """The result of a check.

    Attributes:
        first_rows: Number of rows from the beginning of the object.
        middle_rows: Number of rows from its middle.
        is_whole: Whether these are all rows of the object.
        rows_rejected: Number of rows of the sample that a load would reject.
        row_total: Number of rows of the object, or an estimate.
        rejected_total: Number of rows of the object that a load would reject, or an estimate.
        allowed: The error budget of the object.
        problems: The causes, the most frequent first.
    """

    first_rows: int
    middle_rows: int
    is_whole: bool
    rows_rejected: int
    row_total: int
    rejected_total: int
    allowed: int
    problems: tuple[Problem, ...] = ()

    @property
    def would_fail(self) -> bool:
        """Whether a load would exceed its error budget."""
        return self.rejected_total > self.allowed


def check_sample(contract: Contract, sample: Sample, settings: RunSettings) -> SampleCheck:
    """Check the rows of a sample against a contract.

    Args:
        contract: The contract.
        sample: The rows.
        settings: The error budget.
    """
    batches = [*sample.first, *sample.middle]
    encoder = RowEncoder(contract)
    rejected = sum(len(encoder.encode(batch).rejected) for batch in batches)
    count = row_count(batches)
    total = rejected if sample.is_whole else round(rejected * sample.row_total / max(count, 1))
    problems = [
        *_malformed(contract, sample),
        *(_check_column(contract, column, sample) for column in contract.columns),
    ]
    found = sorted((each for each in problems if each.row_count), key=lambda each: -each.row_count)
    return SampleCheck(
        row_count(sample.first),
        row_count(sample.middle),
        sample.is_whole,
        rejected,
        sample.row_total,
        total,
        settings.rejected_allowed(sample.row_total),
        tuple(found),
    )


@dataclass
class _Found:
    """Different texts, with the number of their rows and where the first one is."""

    counts: Counter[str | None] = field(default_factory=Counter)
    places: dict[str | None, str] = field(default_factory=dict)

    def add(self, text: str | None, place: str) -> None:
        self.counts[text] += 1
        self.places.setdefault(text, place)

    def examples(self, *, is_hidden: bool) -> tuple[str, ...]:
        most = self.counts.most_common(EXAMPLES)
        return tuple(f"{_shown(text, is_hidden=is_hidden)} ({_times(n)}{self.places[text]})" for text, n in most)


def _shown(text: str | None, *, is_hidden: bool) -> str:
    if text is None:
        return "no value"
    return HIDDEN if is_hidden else quoted(text, VALUE_LIMIT)


def _times(count: int) -> str:
    return f"{count:,} rows, first in " if count > 1 else ""


def _malformed(contract: Contract, sample: Sample) -> Iterator[Problem]:
    """Describe the malformed records, by reason."""
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    for is_middle, batch in _parts(sample):
        for row in batch.rejected:
            counts[row.reason] += 1
            shown = examples.setdefault(row.reason, [])
            if len(shown) < EXAMPLES:
                place = _place(row.line_number, sample, is_middle=is_middle)
                shown.append(f"{masked_record(contract, row.raw[: 4 * VALUE_LIMIT])} ({place})")
    for reason, count in counts.items():
        yield Problem(None, reason, count, tuple(examples[reason]))


def _check_column(contract: Contract, column: Column, sample: Sample) -> Problem:
    """Count the rows whose value of one column is invalid or missing."""
    found = _Found()
    encoder = encoder_of(contract, column)
    for is_middle, batch in _parts(sample):
        if invalid := encoder.invalid_rows(_source_of(batch.strings, column)):
            for text, line in zip(_texts(batch.strings, column, invalid), batch.lines.at(invalid), strict=True):
                found.add(text, _place(line, sample, is_middle=is_middle))
    suggestion = ""
    if found.counts and column.source_name != UNKNOWN_KEYS:
        values = Values(contract, [_source_of(batch.strings, column) for _, batch in _parts(sample)])
        suggestion = suggestion_of(contract, column, found.counts, values)
    type_ = column.type
    return Problem(
        column.name,
        f"{type_.postgres}: {type_.expected}",
        found.counts.total(),
        found.examples(is_hidden=column.sensitive),
        suggestion,
    )


def _parts(sample: Sample) -> Iterator[tuple[bool, Batch]]:
    yield from ((False, batch) for batch in sample.first)
    yield from ((True, batch) for batch in sample.middle)


def _place(line: int, sample: Sample, *, is_middle: bool) -> str:
    return f"line {line:,}" if sample.has_lines or not is_middle else "the middle of the object"


def _source_of(texts: StringColumns, column: Column) -> StringColumns:
    """Return the texts of one source alone."""
    place = texts.names.index(column.source_name)
    return StringColumns([column.source_name], [texts.columns[place]], texts.row_count, texts)


def _texts(texts: StringColumns, column: Column, rows: Sequence[int]) -> list[str | None]:
    """Return the texts of some rows."""
    source = _source_of(texts, column)
    if source.columns[0].lists:
        return ["a list"] * len(rows)
    return source.texts_of(column.source_name, rows)
