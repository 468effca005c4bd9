"""The expected rows and answers for an events file, computed independently, to compare with the pipeline.

It shares no code with the pipeline and no library but the public suffix list: one record after another, in pure Python.
"""

import ipaddress
import re
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

from publicsuffixlist import PublicSuffixList
from words_oracle import parse_words

COLUMNS = ("id", "timestamp", "email", "country", "ip", "uri", "action", "tags")
GROUPS = ("country", "user", "company", "date", "tag")
UNKNOWN = "unknown"

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_FIELD = re.compile(rb'"([^"]*+(?:""[^"]*+)*+)"(?=,|\r?\n|\Z)|(?!")([^,\n]*)')
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?"
)
_PUBLIC_SUFFIXES = PublicSuffixList(only_icann=True)


@dataclass(frozen=True)
class EventRow:
    """A row that must be loaded, typed.

    Attributes:
        line_number: The record's first physical line; the header is line 1.
        occurred_at: In UTC; a date means its midnight.
        event_date: The day as written, in the time's own offset.
        email: Value in the file; `user` is trimmed and in lower case, or None if nothing is left.
    """

    line_number: int
    id: uuid.UUID
    occurred_at: datetime
    event_date: date
    email: str | None
    user: str | None
    company: str
    country: str | None
    ip: IPAddress | None
    uri: str | None
    action: str | None
    tags: tuple[str, ...] | None


@dataclass(frozen=True)
class Rejected:
    """A record that must be rejected.

    Attributes:
        line_number: Its first physical line.
        column: First invalid column in the file's order; None if the record itself is malformed.
        raw: Bytes of the record without the line end.
    """

    line_number: int
    column: str | None
    raw: bytes


@dataclass(frozen=True)
class EventsFile:
    """All expected results for a file."""

    rows: list[EventRow]
    rejected: list[Rejected]

    @property
    def rows_read(self) -> int:
        """Records of the file."""
        return len(self.rows) + len(self.rejected)

    @property
    def rows_loaded(self) -> int:
        """Number of records that must be loaded."""
        return len(self.rows)

    def counts(self, group: str) -> Counter[str]:
        """Count the events by one of `GROUPS`; dates are `YYYY-MM-DD`, nothing counts as `unknown`."""
        return Counter(value for row in self.rows for value in _group_values(row, group))


def read_events(source: bytes | Path) -> EventsFile:
    """Read a file, or its bytes.

    Raises:
        ValueError: The header lacks one of the columns or has it twice.
    """
    data = source if isinstance(source, bytes) else source.read_bytes()
    records = _records(data.removeprefix(b"\xef\xbb\xbf"))
    rows: list[EventRow] = []
    rejected: list[Rejected] = []
    header = next(records, None)
    if header is None:
        return EventsFile(rows, rejected)
    names = [name or "" for name in header[2] or []]
    if any(names.count(column) != 1 for column in COLUMNS):
        raise ValueError(f"expected each of {COLUMNS} once in the header, found {names}")
    for line_number, raw, values in records:
        if values is None or len(values) != len(names):
            rejected.append(Rejected(line_number, None, raw))
            continue
        by_name = dict(zip(names, values, strict=True))
        bad_column = _first_bad_column(by_name, names)
        if bad_column:
            rejected.append(Rejected(line_number, bad_column, raw))
        else:
            rows.append(_typed(line_number, by_name))
    return EventsFile(rows, rejected)


def top(counts: Counter[str], size: int) -> list[tuple[str, int]]:
    """Return the most frequent values, the greatest count first, equal counts by value in code point order."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:size]


def company_of(email: str | None) -> str:
    """Return the label left of the public suffix of an e-mail's domain, in lower case, or `unknown`."""
    _, at_sign, domain = (email or "").strip().lower().rpartition("@")
    return _company_of_domain(domain) if at_sign else UNKNOWN


def _records(data: bytes) -> Iterator[tuple[int, bytes, list[str | None] | None]]:
    """Yield each record's first line number, raw bytes and fields; None for the fields of a malformed record."""
    position, line_number = 0, 1
    while position < len(data):
        end, fields = _scan(data, position)
        if fields is None:  # a broken quote: reject only this line, and continue with the next line
            newline = data.find(b"\n", position)
            end = len(data) if newline < 0 else newline
        raw = data[position:end].removesuffix(b"\r")
        if raw:  # an empty line is not a record
            yield line_number, raw, _decoded(raw, fields)
        line_number += data.count(b"\n", position, end + 1)
        position = end + 1


def _scan(data: bytes, position: int) -> tuple[int, list[tuple[bytes, bool]] | None]:
    """Return where the record ends, and its fields, each with whether it was quoted."""
    fields = []
    while True:
        match = _FIELD.match(data, position)
        if match is None:
            return position, None
        quoted, bare = match.groups()
        position = match.end()
        if quoted is not None:
            fields.append((quoted.replace(b'""', b'"'), True))
            if data.startswith(b"\r\n", position):
                position += 1
        else:
            fields.append((bare if data.startswith(b",", position) else bare.removesuffix(b"\r"), False))
        if not data.startswith(b",", position):
            return position, fields
        position += 1


def _decoded(raw: bytes, fields: list[tuple[bytes, bool]] | None) -> list[str | None] | None:
    """Return the fields as text, an unquoted empty field as None; None for a record that Postgres cannot store."""
    if fields is None or b"\x00" in raw:
        return None
    try:
        return [value.decode() if value or quoted else None for value, quoted in fields]
    except UnicodeDecodeError:
        return None


def _first_bad_column(values: dict[str, str | None], names: list[str]) -> str | None:
    parsers = {"id": _parse_id, "timestamp": _parse_timestamp, "ip": _parse_ip, "tags": parse_words}
    for name in names:
        try:
            parsers.get(name, str)(values[name])
        except (ValueError, OverflowError):
            return name
    return None


def _typed(line_number: int, values: dict[str, str | None]) -> EventRow:
    email = values["email"]
    occurred_at = _parse_timestamp(values["timestamp"])
    return EventRow(
        line_number=line_number,
        id=_parse_id(values["id"]),
        occurred_at=occurred_at,
        event_date=date.fromisoformat((values["timestamp"] or "")[:10]),
        email=email,
        user=(email or "").strip().lower() or None,
        company=company_of(email),
        country=values["country"],
        ip=_parse_ip(values["ip"]),
        uri=values["uri"],
        action=values["action"],
        tags=parse_words(values["tags"]),
    )


def _parse_id(text: str | None) -> uuid.UUID:
    if text is None or not _UUID.fullmatch(text):
        raise ValueError(text)
    return uuid.UUID(text)


def _parse_timestamp(text: str | None) -> datetime:
    text = text or ""
    if not _DATE.fullmatch(text) and not _DATE_TIME.fullmatch(text):
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parse_ip(text: str | None) -> IPAddress | None:
    if not text:
        return None
    if "%" in text:  # inet does not support a zone index
        raise ValueError(text)
    return ipaddress.ip_address(text)


@cache
def _company_of_domain(domain: str) -> str:
    labels = domain.removesuffix(".").split(".")
    try:
        ipaddress.ip_address(domain.removeprefix("[").removeprefix("ipv6:").removesuffix("]"))
    except ValueError:
        registered = None if "" in labels else _PUBLIC_SUFFIXES.privatesuffix(domain)
        return registered.split(".")[0] if registered else UNKNOWN
    return UNKNOWN


def _group_values(row: EventRow, group: str) -> list[str]:
    match group:
        case "country":
            return [row.country or UNKNOWN]
        case "user":
            return [row.user or UNKNOWN]
        case "company":
            return [row.company]
        case "date":
            return [row.event_date.isoformat()]
        case "tag":
            # A repeated word in a row counts each time; a row without words counts as unknown.
            return [tag or UNKNOWN for tag in row.tags or ("",)]
    raise ValueError(f"expected one of {GROUPS}, found {group!r}")
