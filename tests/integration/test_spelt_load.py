"""A file in the spelling of a supplier is loaded into columns of every type."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from psycopg import sql
from sample_dataset import THINGS, load, put, ready_connection

from tasks.contracts import Column, Contract, Partition
from tasks.contracts.arrays import TEXT_ARRAY
from tasks.contracts.formats import Csv
from tasks.contracts.intervals import INTERVAL
from tasks.contracts.spelling import Spelling
from tasks.contracts.types import (
    BIGINT_ARRAY,
    BOOLEAN,
    BYTEA,
    DATE,
    DOUBLE,
    INTEGER,
    INTEGER_ARRAY,
    NUMERIC,
    REAL,
    SMALLINT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    VARCHAR,
    one_of,
)
from tasks.engine.warehouse.tables import Connection

TYPES = {
    "small": SMALLINT, "whole": INTEGER, "narrow": REAL, "wide": DOUBLE, "amount": NUMERIC(), "day": DATE,
    "clock": TIME,
    "local": TIMESTAMP, "moment": TIMESTAMPTZ, "duration": INTERVAL, "code": VARCHAR(3), "raw": BYTEA,
    "paid": BOOLEAN,
    "numbers": INTEGER_ARRAY, "ids": BIGINT_ARRAY, "tags": TEXT_ARRAY, "state": one_of("open", "closed"),
}  # fmt: skip
GERMAN = Spelling(
    decimal=",", thousands=".", decimal_integers=True, date="%d.%m.%Y", time="%H.%M", timestamp="epoch seconds",
    true=("Ja",), false=("Nein",), binary="base64",
)  # fmt: skip
SPELT = Contract(
    dataset="spelt",
    table="spelt_staging.spelt",
    description="One row per row.",
    columns=tuple(Column(name, type_, "Any.") for name, type_ in TYPES.items()),
    prefix=THINGS.prefix,
    key=THINGS.key,
    partition=Partition("month", "month"),
    nulls=("NA",),
    spelling=GERMAN,
)
GOOD = [
    "1.234", "517,0", "1,5", "1.000,25", "1.234.567,890", "01.04.2021", "9.05", "1617235200.5", "-1", "1 day 02:03:04",
    "abc", "QUI=", "Ja", '"{1,2}"', '"[3,null]"', '"{a,NULL}"', "open",
]  # fmt: skip
STORED = [
    "1234", "517", "1.5", "1000.25", "1234567.890", "2021-04-01", "09:05:00", "2021-04-01 00:00:00.5",
    "1969-12-31 23:59:59+00", "P1DT2H3M4S", "abc", "\\x4142", "true", "{1,2}", "{3,NULL}", "{a,NULL}", "open",
]  # fmt: skip
pytestmark = pytest.mark.usefixtures("database", "bucket")


@pytest.fixture
def postgres(database: str, bucket: str) -> Iterator[Connection]:
    del database, bucket  # they set the environment
    with ready_connection(SPELT) as opened:
        yield opened


def test_every_type_is_loaded_and_a_malformed_number_alone_stays(postgres: Connection) -> None:
    nothing, bad = ["NA"] * len(TYPES), ["1.2.3", *GOOD[1:]]
    lines = [";".join(row) for row in (list(TYPES), GOOD, nothing, bad)]
    source = put("\n".join(lines).encode())
    receipt = load(postgres, source, contract=replace(SPELT, format=Csv(delimiter=";")))
    assert (receipt.rows_loaded, receipt.rows_rejected) == (2, 1)
    assert receipt.reasons[0][0].startswith("small: expected a whole number of 16 bits")
    texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in TYPES)
    query = sql.SQL("SELECT {} FROM spelt_staging.spelt ORDER BY line_number").format(texts)
    found: list[tuple[Any, ...]] = postgres.execute(query).fetchall()
    assert [list(row) for row in found] == [STORED, [None] * len(TYPES)]
