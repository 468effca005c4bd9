"""Format hints: what an object is that is not what its name says, by its first bytes."""

import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tasks.contracts import Contract
from tasks.engine.errors import ContractError, UnreadableObjectError
from tasks.engine.quoting import quoted

SAMPLE_BYTES = 4096
JSON_SUFFIXES = (".json", ".ndjson", ".jsonl")

_NAME_IT = "Have it named {} at the end and set the dataset's key, or have it delivered as expected"
_AGAIN = "Have the data itself delivered"
_UTF8 = "Have it delivered in UTF-8"
_MAGICS = (
    (b"\x1f\x8b", "a gzip stream", _NAME_IT.format(".gz"), "gzip"),
    (b"\x28\xb5\x2f\xfd", "a zstd stream", _NAME_IT.format(".zst"), "zstd"),
    (b"PAR1", "a parquet file", _NAME_IT.format(".parquet"), ".parquet"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "Have the file in it delivered by itself", ""),
    (b"PK\x05\x06", "an empty zip archive", "Have the file itself delivered", ""),
    (b"BZh", "a bzip2 stream", "Have it delivered plain, or as .gz or .zst", ""),
    (b"\xfd7zXZ\0", "an xz stream", "Have it delivered plain, or as .gz or .zst", ""),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "Have the file in it delivered by itself", ""),
    (b"Obj\x01", "an Avro file", _AGAIN, ""),
    (b"ORC", "an ORC file", _AGAIN, ""),
    (b"ARROW1", "an Arrow file", "Have it delivered as parquet", ""),
    (b"%PDF", "a PDF document", _AGAIN, ""),
    (b"\xd0\xcf\x11\xe0", "an Office document", "Have it delivered as CSV", ""),
    (b"\xff\xfe\0\0", "text in UTF-32", _UTF8, ""),
    (b"\0\0\xfe\xff", "text in UTF-32", _UTF8, ""),
    (b"\xff\xfe", "text in UTF-16", _UTF8, ""),
    (b"\xfe\xff", "text in UTF-16", _UTF8, ""),
    (b"version https://git-lfs", "a Git LFS pointer", "Have the file that it points to delivered", ""),
)
_DELIMITERS = {b";": "semicolons", b"\t": "tabs", b"|": "vertical bars"}

Cause = tuple[str, str]
"""What was found, and what to do."""


def cause_of(begin: bytes, suffix: str, compression: str | None) -> Cause | None:
    """Recognise what an object is, where that is not what its name says.

    Args:
        begin: Its first bytes.
        suffix: The format that the name says.
        compression: The compression that the name says.

    Returns:
        What was found, and what to do; None where nothing is recognised.
    """
    for magic, found, what, kind in _MAGICS:
        if begin.startswith(magic):
            if kind == compression == "gzip":
                return cause_of(_unzipped(begin), suffix, None)
            return None if kind and kind in (suffix, compression) else (found, what)
    if width := _wide_text(begin):
        return f"text in {width}", _UTF8
    if compression or suffix == ".parquet":
        is_text = bool(begin) and not re.search(rb"[\0-\x08\x0e-\x1f]", begin)
        return _markup(begin) or (
            ("text", "Have it named as what it is, or delivered as expected") if is_text else None
        )
    return _markup(begin) or (_not_csv(begin) if suffix == ".csv" else _not_json(begin, suffix))


@contextmanager
def named_causes(file: Any, name: str, contract: Contract, suffix: str, compression: str | None) -> Iterator[None]:
    """Name the cause where an object's structure does not fit, and its first bytes show what it is.

    Args:
        file: Over the object, at its beginning.
        name: Of the object.
        contract: What was expected.
        suffix: As for `cause_of`.
        compression: As for `cause_of`.

    Raises:
        TallyError: In place of the reader's error, of the same class.
    """
    begin = b"" if suffix == ".parquet" or not hasattr(file, "peek") else file.peek(SAMPLE_BYTES)[:SAMPLE_BYTES]
    try:
        yield
    except (ContractError, UnreadableObjectError) as error:
        if suffix == ".parquet" and file.seekable():
            file.seek(0)
            begin = file.read(SAMPLE_BYTES)
        cause = cause_of(begin, suffix, compression)
        if cause is None:
            raise
        found, what = cause
        kind = {".csv": "CSV", ".parquet": "parquet", ".json": "a JSON document"}.get(suffix, "one JSON object a line")
        expected = f"{kind}{f' in {compression}' if compression else ''} with {', '.join(contract.sources)}"
        raise type(error)(
            f"{name}: expected {expected}; found {found}. {what}. Nothing was loaded ({error})"
        ) from error


def _unzipped(begin: bytes) -> bytes:
    try:
        return zlib.decompressobj(31).decompress(begin, SAMPLE_BYTES)
    except zlib.error:
        return b""


def _wide_text(begin: bytes) -> str:
    """UTF-16 or UTF-32 without a byte order mark: of text that is mostly ASCII, every other byte is NUL."""
    places = [begin[place:400:4].count(0) * 400 // max(len(begin[:400]), 1) for place in range(4)]
    wide = [place > 60 for place in places]
    if sum(wide) == 3:
        return "UTF-32"
    return "UTF-16" if wide in ([True, False, True, False], [False, True, False, True]) else ""


def _text(begin: bytes) -> bytes:
    return begin.removeprefix(b"\xef\xbb\xbf").lstrip()


def _markup(begin: bytes) -> Cause | None:
    text = _text(begin).lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page", "It is likely an error page: have the data itself delivered"
    if text.startswith(b"<?xml") or re.match(rb"<[a-z][\w:]*[ />]", text):
        is_error = b"<error>" in text and b"<code>" in text
        return ("an XML error answer, as of S3" if is_error else "XML"), _AGAIN
    return None


def _not_csv(begin: bytes) -> Cause | None:
    text = _text(begin)
    line = text.partition(b"\n")[0]
    if text.startswith((b"{", b"[")):
        return "JSON", _NAME_IT.format(".json or .ndjson")
    if line.lower().startswith((b"sep=", b'"sep=')):
        return f"a first line {quoted(line)}", "Have the line left out, and the columns divided by commas"
    if b"\r" in text and b"\n" not in text:
        return "carriage returns as line ends", "Have the lines end with a line feed"
    for delimiter, words in _DELIMITERS.items():
        if line.count(delimiter) > line.count(b","):
            return f"columns divided by {words}", "Have them divided by commas"
    return None


def _not_json(begin: bytes, suffix: str) -> Cause | None:
    text = _text(begin)
    if suffix == ".json" and re.match(rb"\{[^\n]*\}\s*\n\s*\{", text):
        return "one JSON object a line", _NAME_IT.format(".ndjson")
    if suffix != ".json" and text.startswith(b"["):
        return "a JSON document", _NAME_IT.format(".json")
    if text and not text.startswith((b"{", b"[")) and re.search(rb"[,;\t]", text.partition(b"\n")[0]):
        return "CSV", _NAME_IT.format(".csv")
    return None
