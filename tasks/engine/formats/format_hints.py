"""Format hints: recognise an object's actual format by its first bytes if it differs from the object's name."""

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

_NAME_IT = "Let the object's name end with {} and set the dataset's key, or deliver the expected format"
_AGAIN = "Deliver the data in the expected format"
_UTF8 = "Deliver the object in UTF-8"
_MAGICS = (
    (b"\x1f\x8b", "a gzip stream", _NAME_IT.format(".gz"), "gzip"),
    (b"\x28\xb5\x2f\xfd", "a zstd stream", _NAME_IT.format(".zst"), "zstd"),
    (b"PAR1", "a parquet file", _NAME_IT.format(".parquet"), ".parquet"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "Deliver the file without an archive, as CSV", ""),
    (b"PK\x05\x06", "an empty zip archive", "Deliver the file without an archive", ""),
    (b"BZh", "a bzip2 stream", "Deliver the object uncompressed, or as .gz or .zst", ""),
    (b"\xfd7zXZ\0", "an xz stream", "Deliver the object uncompressed, or as .gz or .zst", ""),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "Deliver the file without an archive", ""),
    (b"Obj\x01", "an Avro file", _AGAIN, ""),
    (b"ORC", "an ORC file", _AGAIN, ""),
    (b"ARROW1", "an Arrow file", "Deliver the object as parquet", ""),
    (b"%PDF", "a PDF document", _AGAIN, ""),
    (b"\xd0\xcf\x11\xe0", "an Office document", "Deliver the object as CSV", ""),
    (b"\xff\xfe\0\0", "text in UTF-32", _UTF8, ""),
    (b"\0\0\xfe\xff", "text in UTF-32", _UTF8, ""),
    (b"\xff\xfe", "text in UTF-16", _UTF8, ""),
    (b"\xfe\xff", "text in UTF-16", _UTF8, ""),
    (b"version https://git-lfs", "a Git LFS pointer", "Deliver the file to which the pointer refers", ""),
)
_DELIMITERS = {b";": "semicolons", b"\t": "tabs", b"|": "vertical bars"}

Cause = tuple[str, str]
"""The actual format, and the next step."""


def cause_of(begin: bytes, suffix: str, compression: str | None) -> Cause | None:
    """Recognise a format that differs from the object's name.

    Args:
        begin: The first bytes of the object.
        suffix: The format according to the name.
        compression: The compression according to the name.

    Returns:
        The actual format and the next step, or None if no other format is recognised.
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
            ("text", "Correct the suffix of the object's name, or deliver the expected format") if is_text else None
        )
    return _markup(begin) or (_not_csv(begin) if suffix == ".csv" else _not_json(begin, suffix))


@contextmanager
def named_causes(file: Any, name: str, contract: Contract, suffix: str, compression: str | None) -> Iterator[None]:
    """Add the actual format to an error of the block, if the object's first bytes show one.

    Args:
        file: The object, at its beginning.
        name: The name of the object.
        contract: The expected columns.
        suffix: See `cause_of`.
        compression: See `cause_of`.

    Raises:
        TallyError: Replaces the reader's error. The class is the same.
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
    """Recognise UTF-16 or UTF-32 without a byte order mark by the NUL bytes in text that is mostly ASCII."""
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
        return "an HTML page", "It is probably an error page. Deliver the data itself"
    if text.startswith(b"<?xml") or re.match(rb"<[a-z][\w:]*[ />]", text):
        is_error = b"<error>" in text and b"<code>" in text
        return ("an XML error response, such as one of S3" if is_error else "XML"), _AGAIN
    return None


def _not_csv(begin: bytes) -> Cause | None:
    text = _text(begin)
    line = text.partition(b"\n")[0]
    if text.startswith((b"{", b"[")):
        return "JSON", _NAME_IT.format(".json or .ndjson")
    if line.lower().startswith((b"sep=", b'"sep=')):
        return f"a first line {quoted(line)}", "Remove this line, and separate the columns by commas"
    if b"\r" in text and b"\n" not in text:
        return "carriage returns as line ends", "End the lines with a line feed"
    for delimiter, words in _DELIMITERS.items():
        if line.count(delimiter) > line.count(b","):
            return f"columns separated by {words}", "Separate the columns by commas"
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
