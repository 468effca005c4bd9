"""The four questions about events, over staged rows: what `sql/events_insights` asks of the marts."""

import polars as pl

from tasks.contracts.events import UNKNOWN

QUESTIONS = {
    "countries": pl.col("country").replace("", None).fill_null(UNKNOWN),
    "users": pl.col("email").str.strip_chars().str.to_lowercase().replace("", None).fill_null(UNKNOWN),
    "companies": pl.col("company"),
    "dates": pl.col("event_date"),
}
"""Expressions over the texts of a row's columns."""
