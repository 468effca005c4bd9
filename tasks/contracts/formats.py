"""Formats: what the bytes of an object are. A contract declares a format where the suffix of the name does not tell.

Nothing is guessed. The suffix gives the format of an object only if the contract declares none.
"""

import codecs
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

Compression = Literal["gzip", "zstd"]

ENCODINGS = frozenset(
    (
        *("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "ascii"),
        *(f"iso8859-{part}" for part in (*range(1, 12), *range(13, 17))),
        *(f"cp{page}" for page in (437, 720, 737, 775, 850, 852, 855, 857, 858, *range(860, 867), 869, 874)),
        *(f"cp{page}" for page in (*range(1250, 1259), 932, 949, 950)),
        *("mac-roman", "mac-cyrillic", "mac-greek", "mac-latin2", "mac-turkish", "koi8-r", "koi8-u", "tis-620"),
        *("shift_jis", "shift_jis_2004", "euc_jp", "euc_kr", "gb2312", "gbk", "gb18030", "big5", "big5hkscs"),
    )
)
"""Python's names of the encodings whose text can be decoded piece by piece, starting at any character."""


def _check_character(name: str, value: str) -> None:
    """Refuse a value that is not one printable or control character of ASCII.

    Raises:
        ValueError: The value is longer, not ASCII, or one of the characters that end a line or that no text contains.
    """
    if len(value) != 1 or not value.isascii() or value in "\0\r\n":
        raise ValueError(f"format, {name}: expected one ASCII character that does not end a line, found {value!r}")


def _check_encoding(encoding: str) -> None:
    """Refuse an encoding that is unknown, or whose text cannot be decoded piece by piece.

    Raises:
        ValueError: The encoding is not one of the supported encodings.
    """
    try:
        known = codecs.lookup(encoding).name
    except LookupError:
        known = ""
    if known not in ENCODINGS:
        raise ValueError(
            f"format, encoding: expected one of {', '.join(sorted(ENCODINGS))} or another name of one of them, found"
            f" {encoding!r}"
        )


def _check_compression(compression: str) -> None:
    """Refuse a compression that Tally cannot read.

    Raises:
        ValueError: The compression is unknown.
    """
    if compression not in ("", "gzip", "zstd"):
        raise ValueError(
            f'format, compression: expected "gzip", "zstd" or "" (by the suffix of the name), found {compression!r}'
        )


def _check_lines(skip_lines: int, comment: str) -> None:
    """Refuse a negative number of lines, and a comment mark that cannot begin a line.

    Raises:
        ValueError: One of them is invalid.
    """
    if skip_lines < 0:
        raise ValueError(f"format, skip_lines: expected a number of lines, 0 or more, found {skip_lines}")
    if not comment.isascii() or any(one in comment for one in "\0\r\n"):
        raise ValueError(f"format, comment: expected ASCII characters that do not end a line, found {comment!r}")


def _check_names(names: tuple[str, ...]) -> None:
    """Refuse empty names and names that occur twice.

    Raises:
        ValueError: A name is empty or not unique.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice or not all(names):
        raise ValueError(
            f"format, names: expected a different name for each field, found"
            f" {', '.join(map(repr, twice)) + ' twice' if twice else 'an empty name'}"
        )


@dataclass(frozen=True)
class Csv:
    r"""Records with fields that a delimiter separates.

    Attributes:
        delimiter: The character between two fields.
        quote: The character around a field that contains a delimiter, a line break or a quote. Empty: the dialect has
            no quotes, and a quote character is data.
        escape: The character that removes the meaning of the character after it. Empty: only a doubled quote is an
            escape. With a quote character, the escape counts inside quotes before a quote or an escape (as Postgres
            with `FORMAT csv` and Spark write), and is data anywhere else. Without a quote character, it counts
            everywhere, as Postgres with `FORMAT text` and MySQL write: `\n` is a line feed, `\t` a tab, `\N` alone is
            null, and an empty field is an empty string.
        escapes_unquoted: Whether the escape counts everywhere, before any character, although the dialect has quotes
            (as Python's csv module and pandas write).
        names: The names of the fields of an object without a header line.
        comment: Lines that begin with these characters are skipped, except inside quotes. Empty: no line is a comment.
        skip_lines: Number of lines before the header, or before the first record of an object without a header.
        trailing_delimiter: Whether a delimiter also follows the last field of each record. The header may lack it.
        short_records: Whether a record may end before its last fields, which are then null.
        encoding: Name of the encoding in Python, such as `cp1252` or `utf-16`.
        compression: `gzip` or `zstd`. Empty: by the suffix of the object's name (`.gz`, `.zst`).
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    names: tuple[str, ...] = ()
    comment: str = ""
    skip_lines: int = 0
    encoding: str = "utf-8"
    escapes_unquoted: bool = False
    trailing_delimiter: bool = False
    short_records: bool = False
    compression: Literal["", "gzip", "zstd"] = ""

    def __post_init__(self) -> None:
        """Check the characters of the dialect.

        Raises:
            ValueError: The message names the attribute and the valid values.
        """
        _check_character("delimiter", self.delimiter)
        for name in ("quote", "escape"):
            if value := getattr(self, name):
                _check_character(name, value)
        given = [value for value in (self.delimiter, self.quote, self.escape) if value]
        if len(set(given)) < len(given):
            raise ValueError(
                f"format: expected a delimiter, a quote and an escape that differ, found {', '.join(map(repr, given))}."
                ' A doubled quote needs no escape: leave escape=""'
            )
        if self.escapes_unquoted and not (self.escape and self.quote):
            raise ValueError("format, escapes_unquoted: expected a quote and an escape as well, found only one of them")
        if self.comment and self.comment[0] in given:
            raise ValueError(
                f"format, comment: expected a text that no field begins with, found {self.comment!r}, whose first"
                " character is the delimiter, the quote or the escape"
            )
        _check_lines(self.skip_lines, self.comment)
        _check_names(self.names)
        _check_encoding(self.encoding)
        _check_compression(self.compression)


@dataclass(frozen=True)
class FixedWidth:
    """One record a line, with fields at fixed positions.

    Blanks around a value are removed. A value of blanks only is null, and so is a field after the end of its line,
    because programs often remove blanks at the end of lines. Text between and after the fields is not read.

    Attributes:
        fields: Each field's name, the position of its first character in the line (the first character is 1, as in the
            layout that a supplier publishes), and its width in characters.
        skip_lines: Number of lines before the first record.
        comment: Lines that begin with these characters are skipped. Empty: no line is a comment.
        encoding: Name of the encoding in Python.
        compression: `gzip` or `zstd`. Empty: by the suffix of the object's name.
    """

    fields: tuple[tuple[str, int, int], ...]
    skip_lines: int = 0
    comment: str = ""
    encoding: str = "utf-8"
    compression: Literal["", "gzip", "zstd"] = ""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ValueError: The message names the attribute and the valid values.
        """
        if not self.fields:
            raise ValueError("format, fields: expected at least one field, found none")
        for name, start, width in self.fields:
            if start < 1 or width < 1:
                raise ValueError(
                    f"format, field {name}: expected a start of at least 1 and a width of at least 1, found start"
                    f" {start} and width {width}"
                )
        _check_lines(self.skip_lines, self.comment)
        _check_names(self.names)
        _check_encoding(self.encoding)
        _check_compression(self.compression)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields."""
        return tuple(name for name, _, _ in self.fields)


@dataclass(frozen=True)
class Json:
    """A JSON document with an array of records, at the top or under the contract's `records_key`.

    Attributes:
        encoding: Name of the encoding in Python.
        compression: `gzip` or `zstd`. Empty: by the suffix of the object's name.
    """

    encoding: str = "utf-8"
    compression: Literal["", "gzip", "zstd"] = ""

    def __post_init__(self) -> None:
        """Check the encoding and the compression.

        Raises:
            ValueError: The message names the attribute and the valid values.
        """
        _check_encoding(self.encoding)
        _check_compression(self.compression)


@dataclass(frozen=True)
class Ndjson(Json):
    """One JSON object a line; the attributes are those of `Json`."""


@dataclass(frozen=True)
class Parquet:
    """A parquet file, which declares its own encodings and compressions."""


Format = Csv | FixedWidth | Json | Parquet


def check_sources(
    form: Format, dataset: str, sources: Mapping[str, tuple[str, ...]], unknown_keys_column: str | None
) -> None:
    """Check that a format has the columns of a contract.

    Args:
        form: The format.
        dataset: The contract's dataset, for the message.
        sources: The columns that an object must contain, each with its aliases.
        unknown_keys_column: The column that collects the unknown keys of JSON records, if there is one.

    Raises:
        ValueError: The format names its fields and a column is not among them, or the contract collects unknown keys
            and the format is not JSON.
    """
    names = getattr(form, "names", ())
    missing = [name for name, aliases in sources.items() if names and not {name, *aliases} & {*names}]
    if missing:
        raise ValueError(
            f"contract {dataset}, format: expected a field for each source column, found none for"
            f" {', '.join(missing)} among {', '.join(names)}. Add the field to the format, or correct the column's"
            " source"
        )
    if unknown_keys_column and not isinstance(form, Json):
        raise ValueError(
            f"contract {dataset}, column {unknown_keys_column}: expected the format Json or Ndjson, because only JSON"
            f" records have keys, found {format_code(form)}. Remove the column, or declare another format"
        )


def format_code(form: Format) -> str:
    """Return a format as Python code, without the attributes that have their default value."""
    given = ", ".join(f"{name}={value!r}" for name, value in declared(form))
    return f"{type(form).__name__}({given})"


def declared(form: Format) -> list[tuple[str, Any]]:
    """Return the names and the values of a format's attributes that differ from the default."""
    values = ((field, getattr(form, field.name)) for field in fields(form))
    return [(field.name, value) for field, value in values if value != field.default]
