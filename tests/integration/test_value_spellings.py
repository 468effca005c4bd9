"""Spellings of values, compared with Postgres' own casts: the same ones are taken, and mean the same."""

import random
import re
from collections.abc import Iterator, Sequence

import psycopg
import pytest
from copied_rows import binary_forms_of
from psycopg import sql

from tasks.contracts.arrays import TEXT_ARRAY
from tasks.contracts.intervals import INTERVAL
from tasks.contracts.jsonb import JSONB
from tasks.contracts.types import (
    BIGINT,
    BIGINT_ARRAY,
    BOOLEAN,
    BYTEA,
    DATE,
    DOUBLE,
    INET,
    INTEGER,
    INTEGER_ARRAY,
    NUMERIC,
    REAL,
    SMALLINT,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMP_MS,
    TIMESTAMPTZ,
    UUID,
    VARCHAR,
    ColumnType,
)

pytestmark = pytest.mark.ledger

MONEY = NUMERIC(14, 2, rounded=True)
ANY_NUMBER, SHORT = NUMERIC(), VARCHAR(3)
SENDERS = {
    TEXT: "textsend",
    UUID: "uuid_send",
    INET: "inet_send",
    DATE: "date_send",
    TIMESTAMPTZ: "timestamptz_send",
    TIMESTAMP_MS: "timestamp_send",
    INTEGER: "int4send",
    BIGINT: "int8send",
    BOOLEAN: "boolsend",
    MONEY: "numeric_send",
    JSONB: "jsonb_send",
    SMALLINT: "int2send",
    REAL: "float4send",
    DOUBLE: "float8send",
    ANY_NUMBER: "numeric_send",
    SHORT: "varcharsend",
    TIME: "time_send",
    TIMESTAMP: "timestamp_send",
    INTERVAL: "interval_send",
    BYTEA: "byteasend",
    INTEGER_ARRAY: "array_send",
    BIGINT_ARRAY: "array_send",
    TEXT_ARRAY: "array_send",
}
"""Functions that give a value's binary form."""

BLANKS = r"[ \t\n\v\f\r]*"
GRAMMARS = {
    INTEGER: rf"{BLANKS}[+-]?\d+{BLANKS}",
    BIGINT: rf"{BLANKS}[+-]?\d+{BLANKS}",
    MONEY: rf"{BLANKS}[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?{BLANKS}",
    DATE: rf"{BLANKS}\d{{4}}-\d\d-\d\d{BLANKS}",
    TIMESTAMP_MS: rf"{BLANKS}\d{{4}}-\d\d-\d\d(([Tt]| +)\d\d:\d\d(:\d\d([.,]\d{{1,3}}0*)?)?)?{BLANKS}",
    TIMESTAMPTZ: (
        rf"{BLANKS}\d{{4}}-\d\d-\d\d(([Tt]| +)\d\d:\d\d(:\d\d([.,]\d+)?)?"
        rf"( *([Zz]|[Uu][Tt][Cc]|[+-](\d{{1,4}}|\d\d?:\d\d(:\d\d)?)))?)?{BLANKS}"
    ),
    SMALLINT: rf"{BLANKS}[+-]?\d+{BLANKS}",
    ANY_NUMBER: rf"{BLANKS}[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?{BLANKS}",
    REAL: rf"(?i){BLANKS}([+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{{1,9}})?|[+-]?inf(inity)?|nan){BLANKS}",
    DOUBLE: rf"(?i){BLANKS}([+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{{1,9}})?|[+-]?inf(inity)?|nan){BLANKS}",
    TIME: rf"{BLANKS}\d\d:\d\d(:\d\d([.,]\d+)?)?{BLANKS}",
    TIMESTAMP: rf"{BLANKS}\d{{4}}-\d\d-\d\d(([Tt]| +)\d\d:\d\d(:\d\d([.,]\d+)?)?)?{BLANKS}",
    BYTEA: r"\\x(.|\n)*",
    INTEGER_ARRAY: rf"{BLANKS}\{{[^{{\[_xXoObB]*\}}{BLANKS}",
    BIGINT_ARRAY: rf"{BLANKS}\{{[^{{\[_xXoObB]*\}}{BLANKS}",
    INET: r"((0|[1-9]\d*)(\.(0|[1-9]\d*))*|[0-9a-fA-F:]+(:(0|[1-9]\d*)(\.(0|[1-9]\d*)){3})?)(/(0|[1-9]\d*))?",
}
"""Deliberate differences, which docs/input.md lists: a load takes only these texts, and Postgres takes more.

Of types that are not listed here, a load takes every text that Postgres takes.
"""

SAMPLES = {
    UUID: ["123e4567-e89b-12d3-a456-426614174000", "{123E4567E89B12D3A456426614174000}"],
    INET: ["1.2.3.4", "1.2.3.4/24", "10/8", "2001:db8::1", "::ffff:1.2.3.4", "fe80::1/64", "1:2:3:4:5:6:7:8"],
    DATE: ["2021-04-03", "0001-01-01", "9999-12-31"],
    TIMESTAMPTZ: [
        "2021-04-03", "2021-04-03T10:20:30Z", "2021-04-03 10:20:30.123456+02:00", "2021-04-03 10:20+05",
        "2021-04-03T24:00:00", "2021-04-03T23:59:60", "2021-04-03T10:20:30.123456789-0330", "2021-04-03t10:20 utc",
        "9999-12-31T23:59:59-01", "0001-01-01 00:00+01:00", "1900-01-01T00:00:00+00:09:21", "2021-04-03 10:00:00+00",
        "2021-04-03T10:00:00-03", "2021-04-03T10:00+05:30", "2021-04-03T10:00:00+0530", "2021-04-03T10:00:00+15:59:59",
    ],
    TIMESTAMP_MS: ["2021-04-03", "2021-04-03T10:20:30.123", "2021-04-03 10:20:30", "9999-12-31 24:00"],
    INTEGER: ["123", "-2147483648", "2147483647", " 007 ", "+0"],
    BIGINT: ["9223372036854775807", "-12", "\t-9223372036854775808", "00000000000000000000000001"],
    BOOLEAN: ["true", "false", "yes", "no", "on", "off", "1", "0", " TRUE ", "T"],
    MONEY: ["123.456", "1e5", "-12.5E-1", "999999999999.99", ".5", "5.", "+05", "0e100000", "1e-16383", "1e-16384",
            "0.0e-16383", "NaN"],
    TEXT: ["", " ", "a"],
    SMALLINT: ["123", "-32768", "32767", " 007 ", "32768"],
    REAL: ["1.5", "-.5e3", "3.4028235e38", "3.4028236e38", "1e-45", "1e-46", "0e-99", "16777217", "0.1",
           "inf", "-Infinity"],
    DOUBLE: ["1.5", "-.5e3", "1.7976931348623157e308", "1.7976931348623159e308", "4.9e-324", "2e-324", "0.1", "NaN",
             "9007199254740993", "123456789012345678901234567890", "+inf", "1e23", "0.000001"],
    ANY_NUMBER: ["123.4560", "1e5", "-12.5E-1", "0.00012345", "1e131071", "1e131072", "1e-16383", "1e-16384", "-0.000",
                 "12345678901234567890123456789012345678901234567890.1", "1000000000000", "0.00001e-3", "100.00e1"],
    SHORT: ["", " ", "abc", "ab  ", "äöü", "abc   "],
    TIME: ["10:20", "10:20:30", "24:00:00", "23:59:60", "10:20:30.123456", "10:20:30.1234567", "00:00"],
    TIMESTAMP: ["2021-04-03", "2021-04-03T10:20:30.123456", "2021-04-03 10:20:30", "9999-12-31 23:59", "0001-01-01"],
    INTERVAL: [
        "1 day", "1 year 2 mons 3 days 04:05:06.789", "-1 days +02:03:00", "1.5 hours", "2 weeks", "1 mon -1 days",
        "P1Y2M3DT4H5M6.5S", "PT0.5S", "P2W", "P-1D", "@ 1 day ago", "04:05:06", "-00:00:01", "1.5 years", "1.5 months",
        "1.5 days", "1.25 weeks", "100:00:00", "3 minutes 2 seconds ago", "1 day, 2:03:04", "1h 30m", "90 minutes",
    ],
    BYTEA: ["\\x", "\\x00ff", "\\xAB cd", "\\xabc", "\\x 00"],
    INTEGER_ARRAY: ["{}", "{1}", "{1,-2,NULL}", " { 1 , 2 } ", '{"1",2}', "{2147483648}", "{1,,2}"],
    BIGINT_ARRAY: ["{}", "{9223372036854775807}", "{1,null}", "{1,2,3}"],
    TEXT_ARRAY: ["{}", "{a}", '{a,"b c",NULL}', '{"NULL",nUll,"a\\"b"}', "{a b , c}", '{""}', "{a\\,b}"],
    JSONB: ['{"a":[1,2.5e3,"x\\u00e9\\n"],"b":null}', '"\\u0000"', "1e131071", "1e131073", '"\\ud83d\\ude00"'],
}  # fmt: skip
MARKS = '0123456789abcdefgtTzZ+-.,:/{}[]%_"\\eExXnNuU \t\n'


@pytest.fixture
def postgres(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, autocommit=True, options="-c TimeZone=UTC") as connection:
        for place, (type_, sender) in enumerate(SENDERS.items()):
            connection.execute(
                f"CREATE FUNCTION pg_temp.cast_{place}(given text) RETURNS bytea LANGUAGE plpgsql AS"
                f" $$ DECLARE value {type_.postgres}; BEGIN value := given; RETURN {sender}(value);"
                " EXCEPTION WHEN OTHERS THEN RETURN NULL; END $$"
            )
        yield connection


def casts_of(connection: psycopg.Connection, type_: ColumnType, texts: Sequence[str]) -> list[bytes | None]:
    """The binary form that Postgres' own cast makes of each text; None where it refuses one."""
    function = sql.Identifier("pg_temp", f"cast_{list(SENDERS).index(type_)}")
    statement = "SELECT {}(one) FROM unnest(%s::text[]) WITH ORDINALITY AS given (one, place) ORDER BY place"
    return [row[0] for row in connection.execute(sql.SQL(statement).format(function), [list(texts)])]


def asked_of(type_: ColumnType, text: str) -> str:
    """The text for Postgres: without digits beyond the microsecond, which Postgres rounds, and with a decimal point."""
    if type_ not in (TIMESTAMPTZ, TIMESTAMP_MS, TIMESTAMP, TIME):
        return text
    return re.sub(r"(:\d\d)[.,](\d{1,6})\d*", r"\1.\2", text, count=1)


def is_left_out(type_: ColumnType, text: str, wire: bytes) -> bool:
    """Whether a load deliberately refuses a text that Postgres takes."""
    if type_ is INTERVAL:  # Postgres ignores most punctuation and guesses units
        return text not in SAMPLES[INTERVAL]
    if type_ in GRAMMARS and not re.fullmatch(GRAMMARS[type_], text, re.ASCII):
        return True
    moments = {DATE: 86_400_000_000, TIMESTAMPTZ: 1, TIMESTAMP_MS: 1, TIMESTAMP: 1}
    years = (-730_119 * 86_400_000_000, 2_921_940 * 86_400_000_000)  # 0001 to 9999, from 2000-01-01
    return type_ in moments and not years[0] <= int.from_bytes(wire, signed=True) * moments[type_] < years[1]


def differences(connection: psycopg.Connection, type_: ColumnType, texts: Sequence[str]) -> list[str]:
    """Texts that a load and Postgres disagree about, except for the deliberate differences."""
    taken = binary_forms_of(type_, texts)
    cast = casts_of(connection, type_, [asked_of(type_, text) for text in texts])
    found = []
    for text, one, other in zip(texts, taken, cast, strict=True):
        if type_ is JSONB:  # a load sends the text, and the server parses it
            one, other = one and b"JSON", other and b"JSON"  # noqa: PLW2901
        if one is None and other is not None and is_left_out(type_, text, other):
            continue
        if one != other:
            found.append(text)
    return found


@pytest.mark.parametrize("type_", SENDERS, ids=lambda type_: type_.postgres)
def test_spellings_are_those_of_postgres(postgres: psycopg.Connection, type_: ColumnType) -> None:
    assert differences(postgres, type_, SAMPLES[type_]) == []


@pytest.mark.parametrize("type_", SENDERS, ids=lambda type_: type_.postgres)
def test_changed_spellings_are_those_of_postgres(postgres: psycopg.Connection, type_: ColumnType) -> None:
    numbers = random.Random(12)  # noqa: S311 - the same texts in each run
    texts = {changed(numbers.choice(SAMPLES[type_]), numbers) for _ in range(3000)}
    assert differences(postgres, type_, sorted(text for text in texts if text or type_ is TEXT)) == []


def changed(text: str, numbers: random.Random) -> str:
    """A text with some characters inserted, removed or replaced."""
    for _ in range(numbers.choice([1, 1, 1, 2, 3])):
        at, edit, mark = numbers.randrange(len(text) + 1), numbers.choice("+-="), numbers.choice(MARKS)
        text = text[:at] + ("" if edit == "-" else mark) + text[at + (edit != "+") :]
    return text


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (DATE, "20210403"), (DATE, "April 3, 2021"), (DATE, "4/3/2021"), (DATE, "yesterday"), (DATE, "infinity"),
        (DATE, "2021-4-3"), (DATE, "10000-01-01"), (DATE, "0044-03-15 BC"), (DATE, "2021-04-03 00:00:00"),
        (TIMESTAMPTZ, "now"), (TIMESTAMPTZ, "2021-04-03 10:00 PST"), (TIMESTAMPTZ, "2021-04-03 10:00 AM"),
        (TIMESTAMPTZ, "-infinity"), (TIMESTAMP_MS, "2021-04-03 10:00:00+02"),
        (TIMESTAMP_MS, "2021-04-03 10:00:00.0001"),
        (MONEY, "NaN"), (INET, "01.2.3.4"),
    ],
)  # fmt: skip
def test_deliberate_differences_are_refused(postgres: psycopg.Connection, type_: ColumnType, text: str) -> None:
    assert casts_of(postgres, type_, [text]) != [None]
    assert binary_forms_of(type_, [text]) == [None]
