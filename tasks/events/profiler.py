"""Profiles: stream an object and count its most frequent values, without a warehouse."""

import io
import re
from collections.abc import Mapping

import polars as pl

from tasks.contracts import Column, Contract
from tasks.contracts.types import TEXT
from tasks.engine.formats.frames import frame_of
from tasks.engine.formats.reader import read_batches
from tasks.engine.formats.rows import RowEncoder
from tasks.engine.receipts import Profile


def read_profile(
    file: io.BufferedReader, name: str, contract: Contract, questions: Mapping[str, pl.Expr], top: int
) -> Profile:
    """Count values over all rows of an object; memory grows with the distinct values, not with the rows.

    Args:
        file: The object.
        name: Name of the object; its ending gives the format.
        contract: Contract of the rows.
        questions: Expressions to count, by name, over the texts of the contract's columns.
        top: Number of values in each answer.
    """
    counts = {question: pl.DataFrame(schema={"value": pl.String, "count": pl.UInt64}) for question in questions}
    encoder = RowEncoder(contract)
    asked = {name for expr in questions.values() for name in expr.meta.root_names()}
    columns = [column for column in contract.columns if column.name in asked]
    loaded = rejected = 0
    for batch in read_batches(file, name, contract):
        rows = encoder.encode(batch)
        loaded += rows.count
        rejected += len(rows.rejected)
        given = frame_of(batch.strings, [column.source_name for column in columns])
        is_good = pl.repeat(True, len(given), eager=True).scatter(rows.invalid, False)
        typed = pl.DataFrame([_values(given, column) for column in columns]).filter(is_good)
        for question, expr in questions.items():
            values = typed.select(value=expr, count=pl.lit(1, pl.UInt64))
            counts[question] = pl.concat([counts[question], values]).group_by("value").agg(pl.col("count").sum())
    return Profile(
        loaded + rejected,
        rejected,
        {
            question: [(str(value), int(count)) for value, count in _top(frame, top).iter_rows()]
            for question, frame in counts.items()
        },
    )


def _values(given: pl.DataFrame, column: Column) -> pl.Series:
    """The texts of a column, as a load would write them."""
    text = given[column.source_name]
    if column.first and column.type != TEXT:
        text = text.str.strip_chars_start(" \t\n\v\f\r")
    if column.first:
        text = text.str.head(column.first)
    if column.after:
        text = text.str.extract(f"(?s){re.escape(column.after)}([^{re.escape(column.after)}]*)$")
    if column.is_derived:
        distinct = text.unique()
        values = pl.Series([column.value_of(one) for one in distinct], dtype=pl.String)
        text = text.replace_strict(distinct, values, return_dtype=pl.String)
    return text.alias(column.name)


def _top(counts: pl.DataFrame, top: int) -> pl.DataFrame:
    return counts.sort(["count", "value"], descending=[True, False]).head(top)
