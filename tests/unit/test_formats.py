"""Declared formats: what a contract may say about the bytes of its objects."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sample_dataset import THINGS

from tasks.contracts import UNKNOWN_KEYS, Column
from tasks.contracts.digests import contract_digest
from tasks.contracts.formats import Csv, FixedWidth, Format, Json, Ndjson, Parquet, format_code
from tasks.contracts.types import TEXT

LAYOUT = (("name", 1, 10), ("day", 12, 10))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Csv(delimiter=""), "delimiter: expected one ASCII character that does not end a line, found ''"),
        (lambda: Csv(delimiter="||"), r"delimiter: expected one ASCII character .*, found '\|\|'"),
        (lambda: Csv(delimiter="\n"), "delimiter: expected one ASCII character"),
        (lambda: Csv(delimiter="\0"), "delimiter: expected one ASCII character"),
        (lambda: Csv(delimiter="§"), "delimiter: expected one ASCII character .*, found '§'"),
        (lambda: Csv(quote="\r"), "quote: expected one ASCII character"),
        (lambda: Csv(quote="''"), "quote: expected one ASCII character"),
        (lambda: Csv(escape="\\\\"), "escape: expected one ASCII character"),
        (lambda: Csv(delimiter='"'), "expected a delimiter, a quote and an escape that differ"),
        (lambda: Csv(escape='"'), "A doubled quote needs no escape"),
        (lambda: Csv(quote="", escape=","), "expected a delimiter, a quote and an escape that differ"),
        (lambda: Csv(escapes_unquoted=True), "expected a quote and an escape as well"),
        (lambda: Csv(quote="", escape="\\", escapes_unquoted=True), "expected a quote and an escape as well"),
        (lambda: Csv(comment="\n"), "comment: expected ASCII characters"),
        (lambda: Csv(comment="“"), "comment: expected ASCII characters"),
        (lambda: Csv(delimiter="#", comment="#"), "comment: expected a text that no field begins with"),
        (lambda: Csv(comment='"'), "comment: expected a text that no field begins with"),
        (lambda: Csv(skip_lines=-1), "skip_lines: expected a number of lines, 0 or more, found -1"),
        (lambda: Csv(names=("a", "b", "a")), "names: expected a different name for each field, found 'a' twice"),
        (lambda: Csv(names=("a", "")), "names: expected a different name for each field, found an empty name"),
        (lambda: Csv(encoding="latin1000"), "encoding: expected one of .*cp1252.*, found 'latin1000'"),
        (lambda: Csv(encoding="base64"), "encoding: expected one of .*, found 'base64'"),
        (lambda: Json(encoding="idna"), "encoding: expected one of .*, found 'idna'"),
        (lambda: Ndjson(encoding=""), "encoding: expected one of .*, found ''"),
        (lambda: Csv(compression="brotli"), 'compression: expected "gzip", "zstd" or "" '),  # type: ignore[arg-type]
        (lambda: Json(compression="zip"), "compression: expected .*, found 'zip'"),  # type: ignore[arg-type]
        (lambda: FixedWidth(()), "fields: expected at least one field, found none"),
        (lambda: FixedWidth((("a", 0, 2),)), "field a: expected a start of at least 1 .*, found start 0 and width 2"),
        (lambda: FixedWidth((("a", 1, 0),)), "field a: .* found start 1 and width 0"),
        (lambda: FixedWidth((("a", 1, 2), ("a", 3, 2))), "names: .* found 'a' twice"),
        (lambda: FixedWidth(LAYOUT, skip_lines=-2), "skip_lines: expected a number of lines"),
        (lambda: FixedWidth(LAYOUT, encoding="rot13"), "encoding: expected one of"),
    ],
)
def test_invalid_format_is_refused_when_the_contract_is_imported(make: Callable[[], Format], message: str) -> None:
    with pytest.raises(ValueError, match=f"^format.*{message}"):
        make()


@pytest.mark.parametrize("encoding", ["latin-1", "ISO-8859-1", "cp1252", "windows-1252", "UTF-16LE", "sjis", "utf8"])
def test_any_name_of_an_encoding_is_accepted(encoding: str) -> None:
    assert Csv(encoding=encoding).encoding == encoding


def test_format_has_a_field_for_each_column_of_the_contract() -> None:
    assert replace(THINGS, format=Csv(names=("day", "other", "name")))
    assert replace(THINGS, format=FixedWidth(LAYOUT))
    with pytest.raises(ValueError, match=r"contract things, format: .* found none for day among name, when"):
        replace(THINGS, format=Csv(names=("name", "when")))
    with pytest.raises(ValueError, match="found none for name among day"):
        replace(THINGS, format=FixedWidth(LAYOUT[1:]))
    aliased = replace(THINGS.columns[1], aliases=("when",))
    assert replace(THINGS, columns=(THINGS.columns[0], aliased), format=Csv(names=("name", "when")))


def test_column_for_unknown_keys_needs_json() -> None:
    columns = (*THINGS.columns, Column("rest", TEXT, "Other keys.", source=UNKNOWN_KEYS))
    tables: list[Format] = [Csv(), Parquet(), FixedWidth(LAYOUT)]
    documents: list[Format] = [Json(), Ndjson()]
    for form in tables:
        with pytest.raises(ValueError, match=r"column rest: expected the format Json or Ndjson.*found (Csv|Parq|Fix)"):
            replace(THINGS, columns=columns, format=form)
    for form in documents:
        assert replace(THINGS, columns=columns, format=form)


def test_format_is_spelled_as_a_contract_declares_it() -> None:
    assert format_code(Csv()) == "Csv()"
    assert format_code(Csv(delimiter="\t", quote="")) == r"Csv(delimiter='\t', quote='')"
    assert format_code(FixedWidth(LAYOUT)) == f"FixedWidth(fields={LAYOUT})"
    assert format_code(Ndjson(encoding="utf-16")) == "Ndjson(encoding='utf-16')"
    assert format_code(Parquet()) == "Parquet()"


def test_digest_of_a_contract_changes_with_its_declared_format() -> None:
    formats: list[Format | None] = [None, Csv(), Csv(delimiter=";"), Csv(encoding="cp1252"), Csv(skip_lines=1)]
    formats += [Json(), Ndjson(), Parquet()]
    assert len({contract_digest(replace(THINGS, format=form)) for form in formats}) == len(formats)
    declared = [contract_digest(replace(THINGS, format=Csv(delimiter=";"))) for _ in range(2)]
    assert declared[0] == declared[1]
