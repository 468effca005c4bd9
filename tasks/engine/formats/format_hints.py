"""Format hints: recognise an object's actual format by its first bytes if it differs from the expected format."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from tasks.contracts import Contract
from tasks.contracts.formats import Compression, Csv, FixedWidth, Format, Json, Ndjson, Parquet, format_code
from tasks.engine.errors import ContractError, UnreadableObjectError
from tasks.engine.formats.columns import nearest_name
from tasks.engine.formats.csv_header import names_in
from tasks.engine.formats.encodings import is_utf8
from tasks.engine.formats.magic_numbers import AGAIN, DECLARE, NAME_IT, magic_of, unpacked
from tasks.engine.quoting import quoted

SAMPLE_BYTES = 4096

_BOM = b"\xef\xbb\xbf"

_MARKS = (
    (b"\xff\xfe\0\0", "UTF-32", "utf-32"),
    (b"\0\0\xfe\xff", "UTF-32", "utf-32"),
    (b"\xff\xfe", "UTF-16", "utf-16"),
    (b"\xfe\xff", "UTF-16", "utf-16"),
    (_BOM, "UTF-8", "utf-8"),
)
"""Byte order marks."""

_AROUND_JSON = (
    (re.compile(rb"\x1e"), "a JSON text sequence (RFC 7464)", "Deliver one JSON object a line, without the marks RS"),
    (re.compile(rb"[\w.$]+\(\s*[\[{]"), "JSON in a call of JavaScript (JSONP)", "Deliver the JSON alone"),
    (re.compile(rb"\)\]\}'|while\(1\);|for\(;;\);"), "JSON after a guard against scripts", "Deliver the JSON alone"),
)
"""What surrounds JSON in some answers of servers, as patterns of their first bytes."""

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_RARE = (":", "~", "^", "!", "#", "$", "\x01", "\x1e", "\x1f", " ")
"""Delimiters that are recognised only if they separate the names of all columns."""

Cause = tuple[str, str]
"""The actual format, and the next step."""


class NoSoundRecordError(UnreadableObjectError):
    """All records of an object are malformed. The object is refused if its first bytes show another format for sure."""


def cause_of(begin: bytes, contract: Contract, form: Format, compression: Compression | None) -> Cause | None:
    """Recognise a format that differs from the expected format.

    Args:
        begin: The first bytes of the object.
        contract: The expected columns.
        form: The expected format.
        compression: The expected compression.

    Returns:
        The actual format and the next step, or None if no other format is recognised.
    """
    if magic := magic_of(begin):
        kind, found, what = magic
        if kind and kind == compression:
            plain = unpacked(begin, compression, SAMPLE_BYTES)
            is_twice = magic_of(plain) == magic
            twice = f"{found} inside {found}", "Deliver the object compressed once"
            return twice if is_twice else cause_of(plain, contract, form, None)
        return None if kind == "parquet" and isinstance(form, Parquet) else (found, what)
    if isinstance(form, Parquet) or compression:
        is_text = bool(begin) and not re.search(rb"[\0-\x08\x0e-\x1f]", begin)
        text = "text", "Correct the suffix of the object's name, or deliver the expected format"
        return _markup(begin) or (text if is_text else None)
    return _other_encoding(begin, form) or _markup(begin) or _other_text(begin, contract, form)


def _other_text(begin: bytes, contract: Contract, form: Csv | FixedWidth | Json) -> Cause | None:
    if isinstance(form, Csv):
        return _not_csv(begin, contract, form)
    return _not_json(begin, form) if isinstance(form, Json) else None


@contextmanager
def named_causes(
    file: Any, name: str, contract: Contract, form: Format, compression: Compression | None
) -> Iterator[None]:
    """Add the actual format to an error of the block, if the object's first bytes show one.

    Args:
        file: The object, at its beginning.
        name: The name of the object.
        contract: The expected columns.
        form: See `cause_of`.
        compression: See `cause_of`.

    Raises:
        TallyError: Replaces the reader's error. The class is the same.
    """
    is_parquet = isinstance(form, Parquet)
    begin = b"" if is_parquet or not hasattr(file, "peek") else file.peek(SAMPLE_BYTES)[:SAMPLE_BYTES]
    try:
        yield
    except (ContractError, UnreadableObjectError) as error:
        if is_parquet and file.seekable():
            file.seek(0)
            begin = file.read(SAMPLE_BYTES)
        has_no_record = isinstance(error, NoSoundRecordError)
        if has_no_record:
            cause = _certain_cause(unpacked(begin, compression, SAMPLE_BYTES) if compression else begin, form)
        else:
            cause = cause_of(begin, contract, form, compression)
        if has_no_record and not cause:
            return  # each record is rejected with its reason
        if cause is None:
            raise
        found, what = cause
        expected = f"{_words(form)}{f' in {compression}' if compression else ''} with {', '.join(contract.sources)}"
        raise type(error)(
            f"{name}: expected {expected}; found {found}. {what}. Nothing was loaded ({error})"
        ) from error


def _certain_cause(begin: bytes, form: Format) -> Cause | None:
    """Recognise another format or encoding by bytes that no text of the expected format begins with."""
    if isinstance(form, Parquet):
        return None
    magic = magic_of(begin)
    return magic[1:] if magic else _other_encoding(begin, form)


def _words(form: Format) -> str:
    match form:
        case Csv():
            return "CSV" if form == Csv() else format_code(form)
        case FixedWidth():
            return "lines of fixed width"
        case Parquet():
            return "parquet"
        case Ndjson():
            return "one JSON object a line"
        case _:
            return "a JSON document"


def _other_encoding(begin: bytes, form: Csv | FixedWidth | Json) -> Cause | None:
    """Recognise UTF-16 or UTF-32, or UTF-8 where another encoding is expected."""
    for mark, words, encoding in _MARKS:
        if begin.startswith(mark):
            is_expected = is_utf8(form.encoding) if encoding == "utf-8" else form.encoding.lower().startswith(encoding)
            return None if is_expected else (f"text in {words}", _with_encoding(form, encoding))
    if not is_utf8(form.encoding):
        return None
    if width := _wide_text(begin):
        return f"text in {width}", _with_encoding(form, width.lower())
    return None


def _with_encoding(form: Csv | FixedWidth | Json, encoding: str) -> str:
    return DECLARE.format(format_code(replace(form, encoding=encoding))) + ", or deliver the object in UTF-8"


def _wide_text(begin: bytes) -> str:
    """Recognise UTF-16 or UTF-32 without a byte order mark by the NUL bytes in text that is mostly ASCII."""
    places = [begin[place:400:4].count(0) * 400 // max(len(begin[:400]), 1) for place in range(4)]
    wide = "".join("0" if place > 60 else "x" for place in places)
    return {"x000": "UTF-32-LE", "000x": "UTF-32-BE", "x0x0": "UTF-16-LE", "0x0x": "UTF-16-BE"}.get(wide, "")


def _text(begin: bytes) -> bytes:
    return begin.removeprefix(b"\xef\xbb\xbf").lstrip()


def _markup(begin: bytes) -> Cause | None:
    text = _text(begin).lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page", "It is probably an error page. Deliver the data itself"
    if text.startswith(b"<?xml") or re.match(rb"<[a-z][\w:]*[ />]", text):
        is_error = b"<error>" in text and b"<code>" in text
        return ("an XML error response, such as one of S3" if is_error else "XML"), AGAIN
    return None


def _not_csv(begin: bytes, contract: Contract, form: Csv) -> Cause | None:
    text = _text(begin)
    line = text.partition(b"\n")[0]
    if text.startswith((b"{", b"[")):
        return "JSON", NAME_IT.format("Json() or format=Ndjson()", ".json or .ndjson")
    if line.lower().startswith((b"sep=", b'"sep=')):
        delimiter = chr(line.partition(b"=")[2][:1][0]) if line.rstrip()[-1:] != b"=" else form.delimiter
        better = (
            replace(form, delimiter=delimiter, skip_lines=form.skip_lines + 1) if delimiter in _DELIMITERS else form
        )
        return f"a first line {quoted(line)}", f"{DECLARE.format(format_code(better))}, or remove this line"
    if b"\r" in text and b"\n" not in text:
        return "carriage returns as line ends", "End the lines with a line feed"
    return _other_dialect(begin, contract, form) or _not_utf8(begin, form) or _no_header(line, contract, form)


def _other_dialect(begin: bytes, contract: Contract, form: Csv) -> Cause | None:
    """Recognise the header in a later line or with another delimiter."""
    lines = begin.removeprefix(_BOM).split(b"\n")
    rare = [one for one in _RARE if one.encode() in begin and not form.names]
    delimiters = [one for one in (form.delimiter, *_DELIMITERS, *rare) if one not in (form.quote, form.escape)]
    for number, line in enumerate(lines if not form.names else ()):
        for dialect in (replace(form, delimiter=one) for one in delimiters):
            if _has_names(line, contract, dialect):
                is_first = not any(map(bytes.strip, lines[:number]))
                better = dialect if is_first else replace(dialect, skip_lines=number)
                return None if better == form else (_found(better, form), DECLARE.format(format_code(better)))
    first = next((line for line in lines if line.strip()), b"")
    most = max((form.delimiter, *_DELIMITERS), key=lambda one: first.count(one.encode()))
    if first.count(most.encode()) <= first.count(form.delimiter.encode()):
        return None
    better = replace(form, delimiter=most)
    return _found(better, form), DECLARE.format(format_code(better))


def _no_header(line: bytes, contract: Contract, form: Csv) -> Cause | None:
    """Recognise a first line that may be a record: it has a field for each column, and the name of none."""
    found = names_in(line.removesuffix(b"\r"), form)
    known = [name for source, aliases in contract.sources.items() for name in (source, *aliases)]
    if (
        form.names
        or len(found) < 2
        or len(found) != len(contract.sources)
        or any(nearest_name(n, found) for n in known)
    ):
        return None
    better = format_code(replace(form, names=tuple(contract.sources)))
    what = "If the object has no header line, declare the names of its fields in their order"
    return "a first line without the name of any column", f"{what}, such as format={better}"


def _has_names(line: bytes, contract: Contract, dialect: Csv) -> bool:
    names = {*names_in(line.removesuffix(b"\r"), dialect)}
    return all(names & {source, *aliases} for source, aliases in contract.sources.items())


def _found(better: Csv, form: Csv) -> str:
    """Describe the differences between a dialect and the expected dialect."""
    where = f"the names of the columns in line {better.skip_lines + 1}"
    if better.delimiter == form.delimiter:
        return where
    columns = f"columns separated by {_DELIMITERS.get(better.delimiter, repr(better.delimiter))}"
    return columns if better.skip_lines == form.skip_lines else f"{columns}, and {where}"


def _not_utf8(begin: bytes, form: Csv) -> Cause | None:
    """Recognise bytes that are not UTF-8. The sample may end inside a character."""
    try:
        begin.decode()
    except UnicodeDecodeError as error:
        if is_utf8(form.encoding) and error.start < len(begin) - 3:
            if b"\0" in begin:
                return "bytes that are not text", "Deliver the object as CSV, or in another format that the name tells"
            return "bytes that are not UTF-8", _with_encoding(form, "cp1252").replace(
                "format=", "its encoding, such as format=", 1
            )
    return None


def _not_json(begin: bytes, form: Json) -> Cause | None:
    text = _text(begin)
    line = text.partition(b"\n")[0]
    is_document = not isinstance(form, Ndjson)
    for is_prefix, found, what in _AROUND_JSON:
        if is_prefix.match(text):
            return found, what
    if is_document and re.match(rb"\{[^\n]*\}\s*\n\s*\{", text):
        return "one JSON object a line", NAME_IT.format("Ndjson()", ".ndjson")
    if not is_document and text.startswith(b"["):
        return "a JSON document", NAME_IT.format("Json()", ".json")
    if not is_document and line.strip() == b"{":
        return "JSON objects that take several lines", "Deliver each object in one line, such as by `jq -c .`"
    if text and not re.search(rb"[\[{]", line) and re.search(rb"[,;\t]", line):
        return "CSV", NAME_IT.format("Csv()", ".csv")
    return None
