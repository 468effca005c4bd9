"""The scaffold recognises the dialect of a file, the types of its columns and the dates in its name."""

from datetime import date

import polars as pl
import pytest

from tasks.engine.samples.dialects import dialect_of, encoding_of
from tasks.engine.samples.names import column_names, identifier_of, is_identifier
from tasks.engine.samples.partitions import key_of, pattern_of
from tasks.engine.samples.values import kinds_of

WORLD_BANK = (
    '"Data Source","World Development Indicators",\n\n"Last Updated Date","2023-07-25",\n\n'
    '"Country Name","Country Code","1960","1961",\n"Aruba","ABW","54608","55811",\n"Chad","TCD","300","",\n'
)

STATEMENT = (
    "Account;;;\nIBAN;DE02;;\nPeriod;01.04.2024 - 30.04.2024;;\n\nDate;Payee;Amount;Balance\n"
    "01.04.2024;Smith;1,50;1,50\n02.04.2024;;-1,00;0,50\n02.04.2024;Jones;1,00;1,50\nTotal;;1,50;1,50\n"
)
"""A bank statement whose title lines a spreadsheet program filled up with delimiters."""


@pytest.mark.parametrize(
    ("text", "delimiter", "quote", "skip_lines", "header"),
    [
        ("a,b\n1,2\n", ",", '"', 0, ("a", "b")),
        ("a;b\n1,5;2,5\n3,5;4,5\n", ";", '"', 0, ("a", "b")),
        ('name\tq\n"x\ty"\t3\nz\t4\n', "\t", '"', 0, ("name", "q")),
        ("id|name\n1|x\n", "|", '"', 0, ("id", "name")),
        ("x,y\n'it''s, a',3\n'b',4\n", ",", "'", 0, ("x", "y")),
        ("1,2,3\n4,5,6\n", ",", '"', 0, ()),
        ("only\nabc\ndef\n", ",", '"', 0, ("only",)),
        ("\ufeffa,b\n1,2\n", ",", '"', 0, ("a", "b")),
        (WORLD_BANK, ",", '"', 4, ("Country Name", "Country Code", "1960", "1961", "")),
        (STATEMENT, ";", '"', 4, ("Date", "Payee", "Amount", "Balance")),
        ("Addresses,,\nname,street,town\nA,B,C\nD,E,F\n", ",", '"', 1, ("name", "street", "town")),
        ("id,,,\n1,x,y,z\n2,x,y,z\n", ",", '"', 0, ("id", "", "", "")),  # the header names one column only
        (",a\nx,1\ny,2\n", ",", '"', 0, ("", "a")),
        ("k1,,,\nk2,5,6,7\nk3,,5,\n", ",", '"', 0, ("k1", "", "", "")),  # no row below it is a header
    ],
)
def test_dialect_is_recognised(text: str, delimiter: str, quote: str, skip_lines: int, header: tuple[str, ...]) -> None:
    found = dialect_of(text)
    assert (found.delimiter, found.quote, found.skip_lines, found.header) == (delimiter, quote, skip_lines, header)


@pytest.mark.parametrize(
    ("text", "is_short"),
    [
        ("a\tb\tc\n1\t2\n1\t2\t3\n1\n", True),
        ("a\tb\tc\n1\t2\n1\t2\t3\n1\t2\t3\n", False),  # one line may be cut
        ("a\tb\tc\n1\t2\n1\n1\t2\t3\t4\n1\t2\t3\n1\t2\t3\n", False),
        ("a\tb\tc\n" + "1\t2\t3\n" * 100 + "1\t2\n1\t2\n", False),
    ],
)
def test_lines_that_end_before_their_last_fields_are_recognised(text: str, *, is_short: bool) -> None:
    found = dialect_of(text)
    assert (found.short_records, bool(found.notes), found.skip_lines) == (is_short, is_short, 0)


def test_short_first_record_is_no_preamble() -> None:
    found = dialect_of("a\tp\nb\tq\tx\nc\tr\ty\nd\ts\tz\ne\tt\nf\tu\n")
    assert (found.skip_lines, found.header, found.width) == (0, (), 3)
    found = dialect_of("name\tplace\tnote\na\tp\nb\tq\tx\nc\tr\nd\ts\n")
    assert (found.skip_lines, found.header, found.short_records) == (0, ("name", "place", "note"), True)
    assert dialect_of("Zones\na\t1\tx\nb\t2\nc\t3\nd\t4\ty\n").skip_lines == 1


def test_comments_before_a_preamble_count_as_lines_to_skip() -> None:
    found = dialect_of("# made by a program\n# 2024\nStations of May\nid\tname\tm\n1\tx\t3\n2\ty\t4\n")
    assert (found.comment, found.skip_lines, found.header) == ("#", 3, ("id", "name", "m"))
    assert dialect_of("# made by a program\nid\tname\n1\tx\n2\ty\n").skip_lines == 0


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("ä,b".encode(), "utf-8"),
        ("ä".encode()[:1], "utf-8"),
        ("ä,€".encode("cp1252"), "cp1252"),
        (b"\x81\xe4", "latin-1"),
        ("a,b\n1,2\n".encode("utf-16"), "utf-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), "utf-16-le"),
        ("a,b\n1,2\n".encode("utf-16-be"), "utf-16-be"),
    ],
)
def test_encoding_is_recognised(data: bytes, encoding: str) -> None:
    assert encoding_of(data)[0] == encoding


@pytest.mark.parametrize(
    ("values", "kind", "spelling"),
    [
        (["1", "-2"], "integer", {}),
        (["3000000000"], "bigint", {}),
        (["9223372036854775808"], "numeric", {}),
        (["1.5", "2"], "numeric", {}),
        (["1e5", "2.0"], "double precision", {}),
        (["-3000000000.0"], "bigint", {"decimal_integers": True}),
        (["517.0", "-2.0"], "integer", {"decimal_integers": True}),
        (["1,5", "2,75"], "numeric", {"decimal": ","}),
        (["1.234,5", "2,75"], "numeric", {"decimal": ",", "thousands": "."}),
        (["1,234,567", "12"], "bigint", {"thousands": ","}),
        (["1,234", "5,678"], "text", {}),
        (["01234", "00001"], "text", {}),
        (["TRUE", "FALSE"], "boolean", {}),
        (["yes", "no"], "boolean", {}),
        (["1", "0"], "integer", {}),
        (["2013-01-01"], "date", {}),
        (["2013-02-30"], "text", {}),
        (["31.12.2020", "01.02.2021"], "date", {"date": "%d.%m.%Y"}),
        (["01/02/2020", "03/04/2020"], "text", {}),
        (["1/13/2020"], "date", {"date": "%m/%d/%Y"}),
        (["Jan 1 2000", "Feb 13 2001"], "date", {"date": "%b %d %Y"}),
        (["1-Jan-98", "12-Dec-99"], "date", {"date": "%d-%b-%y"}),
        (["20200131", "20201231"], "date", {"date": "%Y%m%d"}),
        (["2013-01-01 05:00:00"], "timestamp", {}),
        (["2013-01-01T00:00:00Z"], "timestamptz", {}),
        (["1/2/2020 5:00 PM", "2/13/2020 12:00 AM"], "timestamp", {"timestamp": "%m/%d/%Y %I:%M %p"}),
        (["13/2/2020 5:00PM"], "timestamp", {"timestamp": "%d/%m/%Y %I:%M %p"}),
        (["13.02.2020, 05:00"], "timestamp", {"timestamp": "%d.%m.%Y, %H:%M"}),
        (["10:00"], "time", {}),
        (["192.0.2.1"], "inet", {}),
        (["1.2.3"], "text", {}),
        (['{"a": 1}', "[1]"], "jsonb", {}),
        (['["a", "b, c"]', "[]", "[null]"], "text[]", {}),
        (["[1, -2]", "[null]"], "bigint[]", {}),
        (['["a"]', "[1]"], "jsonb", {}),
        (['["a", ["b"]]'], "jsonb", {}),
        (["[1.5]"], "jsonb", {}),
        (["[]", "[null]"], "jsonb", {}),
    ],
)
def test_narrowest_type_that_fits_all_values_comes_first(values: list[str], kind: str, spelling: object) -> None:
    found = next(kinds_of(pl.Series(values, dtype=pl.String)))
    assert (found.name, dict(found.spelling)) == (kind, spelling)


@pytest.mark.parametrize(
    ("key", "template", "unit", "example"),
    [
        ("2013-01.csv", "{year:04d}-{month:02d}.csv", "month", date(2013, 1, 1)),
        ("in/2013/01/x.csv", "{year:04d}/{month:02d}/x.csv", "month", date(2013, 1, 1)),
        ("a/b_20210430.json.gz", "b_{year:04d}{month:02d}{day:02d}.json.gz", "day", date(2021, 4, 30)),
        (
            "year=2021/month=04/part-00000-ab.snappy.parquet",
            "year={year:04d}/month={month:02d}/part-*.snappy.parquet",
            "month",
            date(2021, 4, 1),
        ),
        ("cars.json", "cars.json", None, None),
        ("v20211345.csv", "v20211345.csv", None, None),
    ],
)
def test_date_in_a_key_becomes_a_template(key: str, template: str, unit: str | None, example: date | None) -> None:
    found = pattern_of(key)
    assert (found.template, found.unit, found.example) == (template, unit, example)
    if unit:
        assert found.prefix + key_of(found) == key


def test_names_are_identifiers_that_differ_from_each_other_and_from_the_columns_of_tally() -> None:
    sources = [
        "Dep. Delay (min)",
        "Größe",
        "order",
        "2020",
        "load_id",
        "month",
        "ctid",
        "a b",
        "A-B",
        "",
        "日本",
        "x" * 90,
    ]
    names = column_names(sources, ["month"])
    assert names[:9] == [
        "dep_delay_min",
        "groesse",
        "delivered_order",
        "delivered_2020",
        "delivered_load_id",
        "delivered_month",
        "delivered_ctid",
        "a_b",
        "a_b_2",
    ]
    assert len(set(names)) == len(sources)
    assert all(map(is_identifier, names))
    assert identifier_of("HTTPServerID") == "http_server_id"
