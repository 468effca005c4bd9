"""Profile a sample: read it with the reader of loads, propose types, and prove them with the encoder of loads."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import polars as pl

from tasks.contracts import Column, Contract
from tasks.contracts.formats import FixedWidth, Format, Json, Ndjson, Parquet
from tasks.engine.errors import ContractError, ParameterError
from tasks.engine.formats.frames import frame_of
from tasks.engine.formats.reader import read_batches
from tasks.engine.formats.rows import RowEncoder
from tasks.engine.rejected_rows import RejectedRow
from tasks.engine.samples.columns import ColumnProfile, profile_column, with_file_nulls
from tasks.engine.samples.contracts import TYPES, format_of_dialect, proposed_contract, text_contract
from tasks.engine.samples.dialects import Dialect, dialect_of, encoding_of
from tasks.engine.samples.files import SampleFile, complete_lines, kind_of
from tasks.engine.samples.key_candidates import key_candidates
from tasks.engine.samples.layouts import layout_of
from tasks.engine.samples.lists import with_lists_as_texts
from tasks.engine.samples.names import column_names
from tasks.engine.samples.partitions import pattern_of
from tasks.engine.samples.profile import Rejection, SampleProfile, file_nulls
from tasks.engine.samples.structures import Structure, json_structure, parquet_structure
from tasks.engine.samples.values import Kind

WHOLE_BYTES = 200 << 20
"""Maximum size of a file that is read completely."""

FIRST_ROWS = 200_000
"""Number of rows that are read of a larger file."""

LAYOUT_NOTE = "Blanks show where the fields begin. Compare the positions with the layout that the supplier publishes."

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
    encoding, note = encoding_of(begin) if kind == ".csv" else ("utf-8", "")
    dialect = _dialect(file, begin, encoding) if kind == ".csv" else None
    layout = _layout(file, begin, dialect) if dialect else None
    dialect = None if layout else dialect
    structure = Structure(dict.fromkeys(layout.names, ())) if layout else _structure(file, kind, dialect)
    sources = list(structure.kinds)
    forms: dict[str, Format] = {".json": Json(), ".ndjson": Ndjson(), ".parquet": Parquet()}
    form = layout or (format_of_dialect(dialect, field_names(dialect)) if dialect else forms[kind])
    notes = (note, *(dialect.notes if dialect else ()), *structure.notes, LAYOUT_NOTE if layout else "")
    read_as = {source: known[0].name for source, known in structure.kinds.items() if known and not known[0].is_text}
    frame, is_whole = _read(file, text_contract(sources, form, structure.records_key, read_as))
    if not len(frame):
        raise ParameterError(f"{file.uri}: expected a sample with at least one row, found only a header")
    pattern = pattern_of(file.key)
    columns = _with_file_nulls(_columns(frame, structure.kinds, pattern.unit), frame)
    profile = SampleProfile(
        file.uri,
        file.size_bytes,
        file.suffix,
        kind,
        form,
        file.compression or "",
        dialect,
        structure.records_key,
        len(frame),
        is_whole,
        columns,
        tuple(name for name in (field_names(dialect) if dialect else ()) if not name),
        (),
        pattern,
        notes=tuple(filter(None, notes)),
    )
    profile = _proven(file, profile)
    keys = tuple(key_candidates(profile.columns, frame))
    return replace(profile, keys=keys, texts=frame)


def _text(file: SampleFile, begin: bytes, encoding: str) -> str:
    return complete_lines(begin, file).decode(encoding.replace("utf-8", "utf-8-sig"), errors="ignore")


def _layout(file: SampleFile, begin: bytes, dialect: Dialect) -> FixedWidth | None:
    """The layout of a text file, if no delimiter separates its fields."""
    return layout_of(_text(file, begin, dialect.encoding), dialect.encoding) if dialect.width < 2 else None


def _dialect(file: SampleFile, begin: bytes, encoding: str) -> Dialect:
    return dialect_of(_text(file, begin, encoding), encoding)


def field_names(dialect: Dialect) -> tuple[str, ...]:
    """The names of the fields of a CSV file: the header, or made-up names where it is missing or ambiguous."""
    header = dialect.header
    if not header:
        return tuple(f"column_{place}" for place in range(1, dialect.width + 1))
    if len(set(header)) == len(header) and all(header[:-1]):
        return header
    return tuple(column_names(name or f"unnamed_{place}" for place, name in enumerate(header, 1)))


def _structure(file: SampleFile, kind: str, dialect: Dialect | None) -> Structure:
    if dialect:
        # A last column without a name comes from a delimiter at the end of each line.
        return Structure(dict.fromkeys(filter(None, field_names(dialect)), ()))
    return parquet_structure(file) if kind == ".parquet" else json_structure(file, kind)


def _columns(frame: pl.DataFrame, kinds: Mapping[str, tuple[Kind, ...]], unit: str | None) -> tuple[ColumnProfile, ...]:
    names = column_names(kinds, [unit] if unit else [])
    return tuple(
        profile_column(source, name, frame.to_series(place), known)
        for place, ((source, known), name) in enumerate(zip(kinds.items(), names, strict=True))
    )


def _with_file_nulls(columns: Sequence[ColumnProfile], frame: pl.DataFrame) -> tuple[ColumnProfile, ...]:
    """Let the null markers of the file count in its columns of text too."""
    markers = file_nulls(columns)
    return tuple(
        with_file_nulls(column, frame.to_series(place), markers) if column.kind.name == "text" and markers else column
        for place, column in enumerate(columns)
    )


def _read(file: SampleFile, contract: Contract) -> tuple[pl.DataFrame, bool]:
    """Read the rows of a file as text."""
    frames, count = [], 0
    with file.opened() as opened:
        for batch in read_batches(opened, file.key, contract):
            frames.append(with_lists_as_texts(frame_of(batch.strings), contract))
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
