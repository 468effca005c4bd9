"""Profile a sample: read it with the reader of loads, propose types, and prove them with the encoder of loads."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import polars as pl

from tasks.contracts import Column, Contract
from tasks.contracts.formats import Csv
from tasks.engine.errors import ContractError, ParameterError
from tasks.engine.formats.frames import frame_of
from tasks.engine.formats.reader import read_batches
from tasks.engine.formats.rows import RowEncoder
from tasks.engine.rejected_rows import RejectedRow
from tasks.engine.samples.columns import ColumnProfile, profile_column
from tasks.engine.samples.contracts import TYPES, format_of_dialect, proposed_contract, text_contract
from tasks.engine.samples.dialects import dialect_of, encoding_of
from tasks.engine.samples.files import SampleFile, complete_lines, kind_of
from tasks.engine.samples.key_candidates import key_candidates
from tasks.engine.samples.names import column_names
from tasks.engine.samples.partitions import pattern_of
from tasks.engine.samples.profile import Rejection, SampleProfile

WHOLE_BYTES = 200 << 20
"""Maximum size of a file that is read completely."""

FIRST_ROWS = 200_000
"""Number of rows that are read of a larger file."""

EXAMPLES = 5
"""Number of line numbers of a reason."""


def profile_sample(file: SampleFile) -> SampleProfile:
    """Profile a file.

    Raises:
        ParameterError: The file is empty, has no row, or has a format that Tally does not read.
        TallyError: The file cannot be read.
    """
    begin = file.begin()
    kind = kind_of(file, begin)
    encoding, note = encoding_of(begin)
    dialect = dialect_of(complete_lines(begin, file).decode("utf-8-sig"), encoding) if kind == ".csv" else None
    sources = list(dialect.header) if dialect else []
    form = format_of_dialect(dialect, sources) if dialect else Csv()
    contract = text_contract(sources, form)
    frame, is_whole = _read(file, contract)
    if not len(frame):
        raise ParameterError(f"{file.uri}: expected a sample with at least one row, found only a header")
    pattern = pattern_of(file.key)
    columns = _columns(frame, sources, pattern.unit)
    profile = SampleProfile(
        file.uri,
        file.size_bytes,
        file.suffix,
        kind,
        form,
        file.compression or "",
        dialect,
        "",
        len(frame),
        is_whole,
        columns,
        (),
        (),
        pattern,
        notes=tuple(filter(None, (note,))),
    )
    profile = _proven(file, profile)
    keys = tuple(key_candidates(profile.columns, frame))
    return replace(profile, keys=keys, texts=frame)


def _columns(frame: pl.DataFrame, sources: Sequence[str], unit: str | None) -> tuple[ColumnProfile, ...]:
    names = column_names(sources, [unit] if unit else [])
    return tuple(
        profile_column(source, name, frame.to_series(place))
        for place, (source, name) in enumerate(zip(sources, names, strict=True))
    )


def _read(file: SampleFile, contract: Contract) -> tuple[pl.DataFrame, bool]:
    """Read the rows of a file as text."""
    frames, count = [], 0
    with file.opened() as opened:
        for batch in read_batches(opened, file.key, contract):
            frames.append(frame_of(batch.strings))
            count += batch.strings.row_count
            if file.size_bytes > WHOLE_BYTES and count >= FIRST_ROWS:
                return pl.concat(frames), False
    empty = pl.DataFrame({name: [] for name in contract.sources}, schema=dict.fromkeys(contract.sources, pl.String))
    return pl.concat(frames) if frames else empty, True


def first_rows(file: SampleFile, profile: SampleProfile, count: int) -> pl.DataFrame:
    """Return the first rows of a file as text."""
    sources = [column.source for column in profile.columns]
    with file.opened() as opened:
        for batch in read_batches(
            opened, file.key, text_contract(sources, profile.declared_format, profile.records_key)
        ):
            return frame_of(batch.strings).head(count)
    return pl.DataFrame()


def _proven(file: SampleFile, profile: SampleProfile) -> SampleProfile:
    """Widen types until the encoder accepts every value that the reader delivers."""
    columns = tuple(map(_encodable, profile.columns))
    while True:
        profile = replace(profile, columns=columns)
        rejected = list(_rejected(file, profile))
        refused = {row.column_name for row in rejected}
        wider = tuple(_encodable(each.widened()) if each.source in refused else each for each in columns)
        if wider == columns:
            return replace(profile, rejections=tuple(_by_reason(rejected)))
        columns = wider


def _encodable(column: ColumnProfile) -> ColumnProfile:
    """The column with its narrowest type that the encoder knows."""
    while True:
        value = TYPES[column.kind.name][1]
        try:
            RowEncoder(Contract("sample", "sample_staging.sample", "Row.", (Column("c", value, "Value."),)))
        except ContractError:
            column = column.widened()
        else:
            return column


def _rejected(file: SampleFile, profile: SampleProfile) -> Iterator[RejectedRow]:
    contract = proposed_contract(profile)
    encoder = RowEncoder(contract)
    count = 0
    with file.opened() as opened:
        for batch in read_batches(opened, file.key, contract):
            rows = encoder.encode(batch)
            yield from rows.rejected
            count += rows.count
            if not profile.is_whole and count >= profile.row_count:
                return


def _by_reason(rejected: Sequence[RejectedRow]) -> Iterator[Rejection]:
    counts = Counter(row.reason for row in rejected)
    for reason, count in counts.most_common():
        lines = tuple(row.line_number for row in rejected if row.reason == reason)[:EXAMPLES]
        yield Rejection(reason, count, lines)
