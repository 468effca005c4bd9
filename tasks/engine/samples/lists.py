"""Lists of parquet as texts of JSON, so that a profile shows them and counts their distinct values."""

import json

import polars as pl

from tasks.contracts import Contract


def with_lists_as_texts(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Return a frame in which each list is a text of JSON.

    Args:
        frame: The texts of the rows, and lists of texts.
        contract: The contract by which the rows were read. It says which lists have integers.
    """
    types = {column.source_name: column.type.postgres for column in contract.columns}
    lists = [series for series in frame if series.dtype == pl.List(pl.String)]
    return frame.with_columns(
        pl.Series(
            series.name,
            [
                None if found is None else _json(found, is_text=types[series.name] == "text[]")
                for found in series.to_list()
            ],
            pl.String,
        )
        for series in lists
    )


def _json(found: list[str | None], *, is_text: bool) -> str:
    if is_text:
        return json.dumps(found, ensure_ascii=False)
    return f"[{', '.join('null' if one is None else one for one in found)}]"
