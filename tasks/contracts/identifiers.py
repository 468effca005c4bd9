"""Lengths of names in Postgres, which would cut a longer name without an error."""

from collections.abc import Iterable

MOST_BYTES = 63
"""Maximum length of the name of a schema, table, column or view."""


def check_identifiers(dataset: str, table: str, columns: Iterable[str], example: str) -> None:
    """Check that no name of a contract is too long for Postgres.

    Args:
        dataset: Name of the dataset.
        table: The staging table, with its schema.
        columns: Names of the columns.
        example: What a table of one partition, or else the table's view, adds to the name of the table.

    Raises:
        ValueError: A name is too long.
    """
    schema, _, name = table.rpartition(".")
    added = len(example.encode())
    limits = [("schema", schema, 0), ("table", name, added), *(("column", column, 0) for column in columns)]
    for kind, text, reserved in limits:
        limit, size = MOST_BYTES - reserved, len(text.encode())
        if size > limit:
            why = f", because Tally adds {example} to it" if reserved else ""
            raise ValueError(
                f"contract {dataset}, {kind} {text}: expected a name of at most {limit} bytes{why}, found {size} bytes."
                f" Shorten the name of the {kind}"
            )
