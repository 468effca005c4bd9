"""Samples of an object: its first rows, and some rows from its middle, as the reader of loads reads them."""

import codecs
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import chain

from tasks.contracts import Contract
from tasks.contracts.formats import Csv, FixedWidth, Format, Ndjson, Parquet
from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.native.binding import library
from tasks.engine.formats.object_formats import format_of
from tasks.engine.formats.reader import read_batches
from tasks.engine.lake.client import Lake
from tasks.engine.lake.streams import BlockFile
from tasks.engine.receipts import ObjectRef

FIRST_ROWS, MIDDLE_ROWS = 10_000, 2_000
"""Number of rows that are read at least, unless the object or a limit of memory ends earlier."""

FIRST_BYTES, MIDDLE_BYTES = 16 << 20, 4 << 20
"""Size of the texts after which no further batch is read."""

CHUNK_BYTES = 1 << 18
"""Number of bytes of text that are read at once."""

REST_BYTES = 1 << 20
"""The rest of an object is read too if it is not larger than this."""

HEAD_BYTES = 1 << 20
"""Maximum size of the header, and of the lines before it."""

WINDOW_BYTES = 1 << 20
"""Number of bytes in which the beginning of a record is searched."""

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)


@dataclass(frozen=True)
class Sample:
    """Some rows of an object.

    Attributes:
        first: Batches from the beginning of the object.
        middle: Batches from the middle. Their line numbers do not count from the beginning of the object, except in
            parquet.
        is_whole: Whether `first` holds every row of the object.
        row_total: Number of rows of the object; an estimate unless `is_whole` or the object is parquet.
        has_lines: Whether the line numbers of `middle` count from the beginning of the object.
    """

    first: tuple[Batch, ...]
    middle: tuple[Batch, ...]
    is_whole: bool
    row_total: int
    has_lines: bool


def row_count(batches: Sequence[Batch]) -> int:
    """Return the number of records in some batches, malformed records included."""
    return sum(batch.strings.row_count + len(batch.rejected) for batch in batches)


def read_sample(lake: Lake, contract: Contract, source: ObjectRef, chunk_bytes: int) -> Sample:
    """Read the first rows of an object and some rows from its middle.

    The middle of a compressed object and of a JSON document cannot be read without the part before it, so these samples
    have only first rows. In CSV, a record of the middle begins after a line end that is not inside quotes, as far as
    the text shows it.

    Args:
        lake: The bucket of the object.
        contract: The contract of the records.
        source: The version of the object.
        chunk_bytes: Size of a batch of a load.

    Raises:
        TallyError: The object cannot be read, or its columns do not match the contract.
    """
    form, compression = format_of(source.uri, contract)
    if isinstance(form, Parquet):
        return _read_groups(lake, contract, source, chunk_bytes)
    with lake.open(source, lambda _: None, is_ahead=False) as opened:
        file = _CountingFile(opened)
        is_plain = not compression and isinstance(form, Csv | FixedWidth | Ndjson)
        most_rest = REST_BYTES if is_plain else 0
        batches = read_batches(file, source.uri, contract, min(chunk_bytes, CHUNK_BYTES))
        first: list[Batch] = []
        is_whole = True
        for batch in batches:
            first.append(batch)
            if _is_enough(first, FIRST_ROWS, FIRST_BYTES) and source.size_bytes - file.count > most_rest:
                is_whole = False
                break
    middle: tuple[Batch, ...] = ()
    if is_plain and not is_whole:
        middle = _read_middle(lake, contract, source, form, first[0], (file.count + source.size_bytes) // 2)
    found = row_count(first)
    total = found if is_whole else found * source.size_bytes // max(min(file.count, source.size_bytes), 1)
    return Sample(tuple(first), middle, is_whole, max(total, found), has_lines=False)


class _CountingFile(io.BufferedReader):
    """A file that counts the bytes that were read."""

    def __init__(self, file: io.BufferedReader) -> None:
        super().__init__(file.raw)
        self.count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read and count some bytes."""
        data = super().read(size)
        self.count += len(data)
        return data


def _is_enough(batches: Sequence[Batch], rows: int, size: int) -> bool:
    return row_count(batches) >= rows or sum(map(_size_of, batches)) >= size


def _size_of(batch: Batch) -> int:
    texts = batch.strings
    sizes = [library.strings_size(column, texts.row_count) for column in texts.columns if not column.lists]
    return int(sum(sizes)) + sum(len(row.raw) for row in batch.rejected)


def _take(batches: Iterator[Batch]) -> tuple[Batch, ...]:
    """Return batches of the middle until they are enough."""
    taken: list[Batch] = []
    for batch in batches:
        taken.append(batch)
        if _is_enough(taken, MIDDLE_ROWS, MIDDLE_BYTES):
            break
    return tuple(taken)


def _read_groups(lake: Lake, contract: Contract, source: ObjectRef, chunk_bytes: int) -> Sample:
    """Read the first rows of a parquet object, and the first rows of its middle row group."""
    files = import_module("tasks.engine.formats.parquet_files")
    reader = import_module("tasks.engine.formats.parquet_reader")
    opened = lake.open(source, lambda _: None, is_ahead=False, is_seekable=True)
    with opened as file, files.errors_of_bytes(source.uri):
        metadata = files.open_parquet(file, source.uri, chunk_bytes).file.metadata
        first: list[Batch] = []
        for batch in read_batches(file, source.uri, contract, chunk_bytes):
            first.append(batch)
            if _is_enough(first, FIRST_ROWS, FIRST_BYTES):
                break
        found, total = row_count(first), metadata.num_rows
        middle: tuple[Batch, ...] = ()
        group = metadata.num_row_groups // 2
        if found <= sum(metadata.row_group(place).num_rows for place in range(group)):
            middle = _take(reader.read_parquet(file, source.uri, contract, chunk_bytes, first_group=group))
    return Sample(tuple(first), middle, found == total, total, has_lines=True)


def _read_middle(
    lake: Lake, contract: Contract, source: ObjectRef, form: Format, first: Batch, offset: int
) -> tuple[Batch, ...]:
    """Read records of a text from an offset on. The beginning of the object, up to its first record, precedes them."""
    key = source.uri.removeprefix(lake.uri(""))
    text = _Text.of(form, b"".join(lake.read(key, source.version, 0, min(HEAD_BYTES, source.size_bytes))))
    head = text.before_line(_first_line(first))
    offset -= offset % text.width
    window = b"".join(lake.read(key, source.version, offset, min(offset + WINDOW_BYTES, source.size_bytes)))
    best: tuple[Batch, ...] = ()
    for begin in text.record_begins(window) if head is not None else ():
        blocks = chain([head or b""], lake.read(key, source.version, offset + begin))
        file: io.BufferedReader = io.BufferedReader(BlockFile(blocks))
        try:
            found = _take(read_batches(file, source.uri, contract, CHUNK_BYTES))
        except UnreadableObjectError:
            continue  # the offset is inside a quoted field
        if not best or _malformed_share(found) < _malformed_share(best):
            best = found
        if not _malformed_share(best):
            break
    return best


def _first_line(batch: Batch) -> int:
    lines = [row.line_number for row in batch.rejected[:1]]
    if batch.strings.row_count:
        lines.append(batch.records_of([0])[0][0])
    return min(lines, default=1)


def _malformed_share(batches: Sequence[Batch]) -> float:
    return sum(len(batch.rejected) for batch in batches) / max(row_count(batches), 1)


@dataclass(frozen=True)
class _Text:
    """How an object writes line ends and quotes.

    Attributes:
        begin: The first bytes of the object.
        newline: The bytes of a line end.
        quote: The bytes of a quote; empty if a record always ends with its line.
        mark: The byte order mark of the object, if it has one.
    """

    begin: bytes
    newline: bytes
    quote: bytes
    mark: bytes

    @classmethod
    def of(cls, form: Format, begin: bytes) -> "_Text":
        encoding = codecs.lookup(getattr(form, "encoding", "utf-8")).name
        mark, found = next(((mark, name) for mark, name in _BYTE_ORDER_MARKS if begin.startswith(mark)), (b"", ""))
        if found.startswith(encoding) or (found and encoding == "utf-8-sig"):
            encoding = found
        quote = form.quote if isinstance(form, Csv) else ""
        plain = encoding.removesuffix("-sig")
        return cls(begin, "\n".encode(plain), quote.encode(plain), mark)

    @property
    def width(self) -> int:
        """Number of bytes of a line end."""
        return len(self.newline)

    def before_line(self, line: int) -> bytes | None:
        """Return the bytes before a line, or None if the line begins after the first bytes."""
        end = 0
        for _ in range(line - 1):
            end = self._find_newline(end)
            if not end:
                return None
        return self.begin[:end] or self.mark

    def _find_newline(self, start: int) -> int:
        """Return the offset after the next line end, or 0."""
        found = self.begin.find(self.newline, start)
        while found >= 0 and found % self.width:
            found = self.begin.find(self.newline, found + 1)
        return found + self.width if found >= 0 else 0

    def record_begins(self, window: bytes) -> Iterator[int]:
        """Yield the offsets at which a record may begin: if the window begins outside quotes, and if it does not."""
        for begins_inside in (False, True) if self.quote else (False,):
            if (offset := self._record_begin(window, is_inside=begins_inside)) is not None:
                yield offset

    def _record_begin(self, window: bytes, *, is_inside: bool) -> int | None:
        pattern = re.compile(b"|".join(map(re.escape, filter(None, (self.newline, self.quote)))))
        for found in pattern.finditer(window):
            if found.start() % self.width:
                continue
            if found.group() == self.quote:
                is_inside = not is_inside
            elif not is_inside:
                return found.end()
        return None
