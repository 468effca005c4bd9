"""Spellings and null markers that a contract declares: what they read, and what they refuse."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from copied_rows import batch_of, one_column, parsed_by, validated, values_of
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts import Column, Contract
from tasks.contracts.digests import contract_digest
from tasks.contracts.spelling import Spelling
from tasks.contracts.types import (
    BOOLEAN,
    BYTEA,
    DATE,
    DOUBLE,
    INTEGER,
    INTEGER_ARRAY,
    NUMERIC,
    REAL,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    VARCHAR,
    ColumnType,
    one_of,
)
from tasks.engine.errors import ContractError
from tasks.engine.formats.reader import read_batches
from tasks.engine.formats.rows import RowEncoder

GERMAN = Spelling(decimal=",", thousands=".", date="%d.%m.%Y", true=("Ja",), false=("Nein",))


def read(type_: ColumnType, spelling: Spelling, *texts: str) -> list[Any]:
    """The value of each text; None for an invalid text."""
    contract = replace(one_column(type_), spelling=spelling)
    rows = RowEncoder(contract).encode(batch_of("x", texts))
    values: list[Any] = [row["x"] for row in values_of(contract.columns, rows.data)]
    for place in rows.invalid:
        values.insert(place, None)
    return values


def reason(type_: ColumnType, spelling: Spelling, text: str) -> str:
    rows = RowEncoder(replace(one_column(type_), spelling=spelling)).encode(batch_of("x", [text]))
    return rows.rejected[0].reason


@pytest.mark.parametrize(
    ("decimal", "thousands", "text", "value"),
    [
        (",", ".", "1.234,56", "1234.56"),
        (",", ".", " -1.234.567 ", "-1234567"),
        (",", ".", "1234567,5", "1234567.5"),
        (",", ".", "123", "123"),
        (",", " ", "1 234,56", "1234.56"),
        (",", "\u00a0", "12\u00a0345,6", "12345.6"),
        (",", "\u202f", "+1\u202f234", "1234"),
        (".", ",", "1,234.5", "1234.5"),
        (".", "'", "1'234'567.25", "1234567.25"),
        (",", ".", "1,5e3", "1500"),
        (",", "", ",5", "0.5"),
        (",", ".", "1.2.3,4", None),
        (",", ".", "1234.567", None),
        (",", ".", "12.34", None),
        (",", ".", ".123", None),
        (",", ".", "1.234.", None),
        (",", ".", "1.234.56", None),
        (",", ".", "1..234", None),
        (",", ".", "1,234.5", None),
        (",", ".", "1,234,5", None),
        (",", "", "1.5", None),
        (",", " ", "1  234", None),
        (".", ",", "1,23", None),
        (".", ",", "12,34,567", None),
    ],
)
def test_number_has_the_declared_marks(decimal: Any, thousands: str, text: str, value: str | None) -> None:
    spelling = Spelling(decimal=decimal, thousands=thousands)
    assert read(NUMERIC(14, 2), spelling, text) == [None if value is None else Decimal(value)]
    assert read(NUMERIC(), spelling, text) == [None if value is None else Decimal(value)]


@given(st.decimals(-(10**11), 10**11, places=2), st.sampled_from([".", " ", "\u00a0", "\u202f", "'"]))
def test_grouped_number_is_the_number(number: Decimal, thousands: str) -> None:
    text = f"{number:,.2f}".translate({ord(","): thousands, ord("."): ","})
    assert read(NUMERIC(14, 2), Spelling(decimal=",", thousands=thousands), text) == [number]


@pytest.mark.parametrize(
    ("text", "value"),
    [("517.0", 517), ("517", 517), ("-1.", -1), ("1e3", 1000), ("0.0", 0), ("2147483647.0", 2**31 - 1),
     ("2147483648.0", None), ("1.5", None), ("1e-3", None), ("NaN", None), (".", None), ("1e40", None)],
)  # fmt: skip
def test_whole_number_may_have_decimals_that_are_zero_if_declared(text: str, value: int | None) -> None:
    assert read(INTEGER, Spelling(decimal_integers=True), text) == [value]
    assert read(INTEGER, Spelling(), text) == [value if text.isdigit() else None]


def test_date_has_the_declared_format_and_its_rejection_shows_it() -> None:
    texts = ["01.04.2021", "1.4.2021", " 29.02.2020", "31.02.2021", "2021-04-01", "01.04.21", "\u06601.04.2021"]
    texts.append("01.04.2021 x")
    found = [date(2021, 4, 1), date(2021, 4, 1), date(2020, 2, 29), None, None, None, None, None]
    assert read(DATE, GERMAN, *texts) == found
    assert reason(DATE, GERMAN, "31.02.2021") == "x: expected a date in the format %d.%m.%Y"


@pytest.mark.parametrize(
    ("declared", "text", "value"),
    [
        ("%m/%d/%Y", "4/5/2021", date(2021, 4, 5)),
        ("%d-%b-%Y", "05-Apr-2021", date(2021, 4, 5)),
        ("%d.%m.%y", "05.04.68", date(2068, 4, 5)),
        ("%d.%m.%y", "05.04.69", date(1969, 4, 5)),
        ("%Y%m%d", "20210405", date(2021, 4, 5)),
        ("%d%m%Y", "1112021", None),
        ("%Y年%m月%d日", "2021年4月5日", date(2021, 4, 5)),
        ("%Y-%j", "2021-095", date(2021, 4, 5)),
        ("epoch seconds", "1617580800", date(2021, 4, 5)),
        ("epoch milliseconds", "1617580800000", date(2021, 4, 5)),
        ("epoch milliseconds", "-86400000", date(1969, 12, 31)),
        ("epoch seconds", "1617580801", None),
        ("epoch seconds", "1e30", None),
    ],
)
def test_date_formats(declared: str, text: str, value: date | None) -> None:
    assert read(DATE, Spelling(date=declared), text) == [value]


def test_times_and_timestamps_have_the_declared_format() -> None:
    american = Spelling(time="%I:%M %p", timestamp="%m/%d/%Y %I:%M:%S %p")
    moments = read(TIMESTAMP, american, "4/5/2021 1:30:00 PM", "13/5/2021 1:30:00 PM")
    assert moments == [*read(TIMESTAMP, Spelling(), "2021-04-05 13:30"), None]
    assert read(TIME, american, "9:05 am") == read(TIME, Spelling(), "09:05")
    with_offset = Spelling(timestamp="%d.%m.%Y %H:%M:%S.%f %z")
    moments = read(TIMESTAMPTZ, with_offset, "05.04.2021 12:00:00.5 +0200")
    assert moments == [datetime(2021, 4, 5, 10, 0, 0, 500_000, UTC)]


@given(st.decimals(-(10**10), 10**10, places=8), st.sampled_from([("seconds", 6), ("milliseconds", 3)]))
def test_epoch_is_the_moment_down_to_its_microsecond(count: Decimal, unit: tuple[str, int]) -> None:
    found = read(TIMESTAMPTZ, Spelling(timestamp=f"epoch {unit[0]}"), str(count))
    microseconds = Fraction(count) * 10 ** unit[1] // 1
    assert [(one - datetime(1970, 1, 1, tzinfo=UTC)) // one.resolution for one in found] == [microseconds]


def test_booleans_have_declared_texts_besides_those_of_postgres() -> None:
    texts = ["Ja", " Nein ", "TRUE", "t", "yes", "1", "f", "ja", "x"]
    assert read(BOOLEAN, GERMAN, *texts) == [True, False, True, True, True, True, False, None, None]
    assert read(BOOLEAN, Spelling(true=("0",), false=("1",)), "0", "1") == [True, False]


def test_bytes_in_base64() -> None:
    texts = ["QUJD", "QQ==", "QUI=", "", "\\x41", "QQ=", "QQ=A", "QQ==QQ==", "Q", "=", "QUJD=", "Q.=="]
    found = [b"ABC", b"A", b"AB", None, b"A", None, None, None, None, None, None, None]
    contract = replace(one_column(BYTEA), spelling=Spelling(binary="base64"))
    rows = RowEncoder(contract).encode(batch_of("x", texts))
    values: list[Any] = [row["x"] for row in values_of(contract.columns, rows.data)]
    for place in rows.invalid:
        values.insert(place, None)
    assert values == found
    assert rows.invalid == [5, 6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"decimal": ",", "thousands": ","}, "thousands"),
        ({"thousands": "."}, "thousands"),
        ({"thousands": "1"}, "thousands"),
        ({"thousands": ".."}, "thousands"),
        ({"thousands": "-"}, "thousands"),
        ({"decimal": ";"}, "decimal"),
        ({"date": "%d.%m.%Q"}, "found %Q"),
        ({"date": "%d.%m"}, "a year"),
        ({"date": "%Y-%m"}, "a day"),
        ({"date": "%d.%m.%Y %H"}, "found %H"),
        ({"date": "%d%d%m%Y"}, "twice"),
        ({"date": "yyyy-mm-dd"}, "a year"),
        ({"date": "%d.%m.%Y %"}, "found %"),
        ({"time": "%M"}, "an hour"),
        ({"time": "%I:%M"}, "%I and %p together"),
        ({"timestamp": "epoch"}, '"epoch seconds"'),
        ({"true": "Ja"}, "true"),
        ({"true": ("",)}, "true"),
        ({"true": ("x",), "false": ("x",)}, "both"),
        ({"binary": "base32"}, "binary"),
    ],
)
def test_contradictory_spelling_is_refused_where_it_is_declared(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Spelling(**fields)


def test_offset_in_a_format_needs_a_type_that_stores_it() -> None:
    with pytest.raises(ValueError, match=r"column x: expected a format without %z"):
        replace(one_column(TIMESTAMP), spelling=Spelling(timestamp="%d.%m.%Y %H:%M %z"))


@pytest.mark.parametrize(
    "name",
    [
        "money",
        "json",
        "char(3)",
        "texts",
        "numeric(38,2)",
        "numeric(2,3)",
        "numeric(0,0)",
        "varchar(0)",
        "varchar(n)",
        "varchar",
        "timestamp(6)",
        "text(3)",
        "date[]",
    ],
)
def test_unsupported_type_is_refused_with_the_valid_ones(name: str) -> None:
    with pytest.raises(ValueError, match=r"varchar\(n\).*double precision.*bigint\[\]"):
        ColumnType(name, "any")


def test_text_in_the_place_of_a_type_is_refused() -> None:
    with pytest.raises(TypeError, match=r"column x: expected a type of tasks.contracts.types, found 'money'"):
        one_column("money")  # type: ignore[arg-type]


@pytest.mark.parametrize("nulls", ["NA", ["NA"], ("a\0b",), (1,)])
def test_null_markers_are_a_tuple_of_texts(nulls: Any) -> None:
    with pytest.raises(ValueError, match=r"column x: expected nulls to be a tuple of texts"):
        replace(one_column(TEXT), nulls=nulls)


@pytest.mark.parametrize("type_", [TEXT, INTEGER, DATE, VARCHAR(9), one_of("a", "b"), INTEGER_ARRAY, REAL])
def test_null_marker_is_null_in_every_type(type_: ColumnType) -> None:
    long = "x" * 70
    column = Column("x", type_, "Any.", nulls=("NA", "\\N", long, "é"))
    assert parsed_by(column, "NA", "\\N", long, "é", None) == [None] * 5
    contract = replace(one_column(type_), columns=(column,))
    rows = RowEncoder(contract).encode(batch_of("x", ["NA", long, "é", "y" * 70]))
    assert rows.invalid == ([] if type_ is TEXT else [3])


def test_null_marker_is_compared_exactly_and_with_the_whole_source() -> None:
    column = Column("x", TEXT, "Any.", first=2, nulls=("NA", ""))
    assert parsed_by(column, "NA", "", "NAB", "na", " NA", "n") == [None, None, "NA", "na", " N", "n"]
    assert parsed_by(replace(column, nulls=()), "NA", "") == ["NA", ""]


def test_null_marker_counts_before_a_derivation() -> None:
    asked: list[str | None] = []

    def note(text: str | None) -> str | None:
        asked.append(text)
        return text or "nothing"

    assert parsed_by(Column("x", TEXT, "Any.", derive=note, nulls=("NA",)), "NA", "a") == ["nothing", "a"]
    assert asked == [None, "a"]


def test_required_value_with_a_null_marker_is_missing() -> None:
    contract = replace(one_column(INTEGER), columns=(Column("x", INTEGER, "X.", nullable=False),), nulls=("NA",))
    rows = RowEncoder(contract).encode(batch_of("x", ["NA", "1"]))
    assert [row.reason for row in rows.rejected] == ["x: expected a whole number of 32 bits, found nothing"]


def test_column_replaces_the_null_markers_and_the_spelling_of_its_contract() -> None:
    column = Column("x", DATE, "X.", nulls=(), spelling=Spelling())
    contract = replace(one_column(DATE), columns=(column,), nulls=("2021-04-01",), spelling=GERMAN)
    assert RowEncoder(contract).encode(batch_of("x", ["2021-04-01", "01.04.2021"])).invalid == [1]


def test_derivation_comes_before_the_spelling() -> None:
    column = Column("x", NUMERIC(9, 2), "X.", derive=lambda text: text and text.removesuffix(" EUR"), spelling=GERMAN)
    assert parsed_by(column, "1.234,50 EUR") == [Decimal("1234.5")]


def test_only_allowed_values_of_an_enum_are_read() -> None:
    assert read(one_of("open", "closed"), Spelling(), "open", "Open", "closed", "") == ["open", None, "closed", None]
    assert reason(one_of("a", "b"), Spelling(), "c") == "x: expected one of 'a', 'b'"
    for values in ((), ("a", "a"), (1,)):
        with pytest.raises(ValueError, match="distinct texts"):
            one_of(*values)


def test_digest_changes_with_null_markers_and_spellings_only() -> None:
    plain = one_column(DATE)
    others = [
        replace(plain, nulls=("NA",)),
        replace(plain, spelling=GERMAN),
        replace(plain, spelling=Spelling(date="%m/%d/%Y")),
        replace(plain, columns=(replace(plain.columns[0], nulls=("",)),)),
    ]
    assert len({contract_digest(one) for one in [plain, *others]}) == 1 + len(others)
    same = replace(plain, columns=(replace(plain.columns[0], nulls=("NA",), spelling=Spelling()),))
    assert contract_digest(same) == contract_digest(others[0])
    assert contract_digest(plain) == contract_digest(replace(plain, spelling=Spelling()))


def table_of(types: dict[str, ColumnType], **fields: Any) -> Contract:
    columns = tuple(Column(name, type_, "Any.") for name, type_ in types.items())
    return Contract("things", "s.things", "Any.", columns, "p", **fields)


def rows_of(data: bytes, name: str, contract: Contract) -> tuple[list[dict[str, Any]], list[str]]:
    found = [validated(contract, batch) for batch in read_batches(io.BufferedReader(io.BytesIO(data)), name, contract)]
    return [row for one in found for row in one.rows], [bad.reason for one in found for bad in one.rejected]


def parquet_of(**arrays: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays), sink)
    return sink.getvalue()


def test_parquet_doubles_are_whole_numbers_if_declared_and_nan_is_null_if_declared() -> None:
    data = parquet_of(n=pa.array([517.0, float("nan"), None, 1e9, 1.5]))
    spelling = Spelling(decimal_integers=True)
    rows, reasons = rows_of(data, "x.parquet", table_of({"n": INTEGER}, spelling=spelling, nulls=("NaN",)))
    assert [row["n"] for row in rows] == [517, None, None, 1_000_000_000]
    assert reasons == ["n: expected a whole number of 32 bits, which may have decimals that are zero"]
    assert len(rows_of(data, "x.parquet", table_of({"n": INTEGER}))[1]) == 4
    assert len(rows_of(data, "x.parquet", table_of({"n": DOUBLE}))[0]) == 5


def test_parquet_values_of_all_types_are_read() -> None:
    data = parquet_of(
        f=pa.array([0.1], pa.float32()), d=pa.array([0.1], pa.float32()), t=pa.array([37_230_500_000], pa.time64("us")),
        b=pa.array([b"\x00A"]), n=pa.array([Decimal("1.50")]), i=pa.array([[1, None]], pa.list_(pa.int64())),
        s=pa.array([200], pa.uint8()),
    )  # fmt: skip
    types = {"f": REAL, "d": DOUBLE, "t": TIME, "b": BYTEA, "n": NUMERIC(), "i": INTEGER_ARRAY, "s": INTEGER}
    ((row,), reasons) = rows_of(data, "x.parquet", table_of(types))
    assert reasons == []
    assert [row["f"]] == read(REAL, Spelling(), "0.1")
    (expected,) = read(DOUBLE, Spelling(), repr(pa.scalar(0.1, pa.float32()).as_py()))
    assert row["d"] == expected
    assert (row["b"], row["n"], row["s"]) == (b"\x00A", Decimal("1.5"), 200)
    assert [row["t"]] == read(TIME, Spelling(), "10:20:30.5")
    assert [row["i"]] == read(INTEGER_ARRAY, Spelling(), "{1,NULL}")


def test_numbers_that_are_no_texts_keep_their_value_under_a_declared_decimal_mark() -> None:
    contract = table_of({"n": NUMERIC(9, 3)}, spelling=GERMAN)
    lines = b"\n".join(json.dumps({"n": value}).encode() for value in (1.234, "1.234", 5, "1,5"))
    numbers = [Decimal("1.234"), Decimal(1234), Decimal(5), Decimal("1.5")]
    assert [row["n"] for row in rows_of(lines, "x.ndjson", contract)[0]] == numbers
    for array in (pa.array([1.234]), pa.array([Decimal("1.234")])):
        assert [row["n"] for row in rows_of(parquet_of(n=array), "x.parquet", contract)[0]] == [Decimal("1.234")]


def test_parquet_dates_are_refused_where_the_contract_declares_how_texts_write_them() -> None:
    data = parquet_of(d=pa.array([date(2021, 4, 1)]))
    with pytest.raises(ContractError, match="declares the spelling of date, found date32"):
        rows_of(data, "x.parquet", table_of({"d": DATE}, spelling=GERMAN))


@pytest.mark.parametrize("texts", [["NA", '""', "1"]])
def test_quoted_empty_string_of_csv_is_null_if_declared(texts: Sequence[str]) -> None:
    data = ("a,b\n" + "".join(f"{text},1\n" for text in texts)).encode()
    types = {"a": TEXT, "b": INTEGER}
    assert [row["a"] for row in rows_of(data, "x.csv", table_of(types, nulls=("", "NA")))[0]] == [None, None, "1"]
    assert [row["a"] for row in rows_of(data, "x.csv", table_of(types))[0]] == ["NA", "", "1"]
