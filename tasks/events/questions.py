"""The four questions about events, over the rows of a file. `sql/events_insights` asks the marts the same questions."""

import polars as pl

from tasks.contracts.events import UNKNOWN

QUESTIONS = {
    "countries": pl.col("country").replace("", None).fill_null(UNKNOWN),
    "users": pl.col("email").str.strip_chars().str.to_lowercase().replace("", None).fill_null(UNKNOWN),
    "companies": pl.col("company"),
    "dates": pl.col("event_date"),
}
"""Expressions over the texts of a row's columns."""
