"""Profiles: the most frequent values in an object's rows, streamed, without a warehouse."""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from tasks.contracts import Contract
from tasks.engine.reader import read_batches
from tasks.engine.validation import validate

TopValues = list[tuple[str, int]]
"""Values with their counts, the greatest count first, ties by value ascending by code point."""


@dataclass(frozen=True)
class Profile:
    """What an object holds.

    Attributes:
        rows_read: All of its rows.
        rows_rejected: Those that a load would reject.
        answers: To each question its most frequent values.
    """

    rows_read: int
    rows_rejected: int
    answers: dict[str, TopValues]


def read_profile(
    file: io.BufferedReader, name: str, contract: Contract, questions: Mapping[str, pl.Expr], top: int
) -> Profile:
    """Count values over all rows of an object; memory grows with the distinct values, not with the rows.

    Args:
        file: The object.
        name: Its name, which tells the format.
        contract: Of its rows.
        questions: What to count, by name: an expression over the contract's columns.
        top: How many values each answer lists.
    """
    counts = {question: pl.DataFrame(schema={"value": pl.String, "count": pl.UInt64}) for question in questions}
    loaded = rejected = 0
    for batch in read_batches(file, name, contract):
        validated = validate(contract, batch)
        loaded += len(validated.rows)
        rejected += len(validated.rejected)
        for question, expr in questions.items():
            values = validated.rows.select(value=expr.cast(pl.String), count=pl.lit(1, pl.UInt64))
            counts[question] = pl.concat([counts[question], values]).group_by("value").agg(pl.col("count").sum())
    return Profile(
        loaded + rejected,
        rejected,
        {
            question: [(str(value), int(count)) for value, count in _top(frame, top).iter_rows()]
            for question, frame in counts.items()
        },
    )


def _top(counts: pl.DataFrame, top: int) -> pl.DataFrame:
    return counts.sort(["count", "value"], descending=[True, False]).head(top)
