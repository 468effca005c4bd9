"""Explain a row or an object: publish the explanation, or print it in the terminal."""

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from prefect.logging import get_run_logger

from tasks.connections import open_warehouse
from tasks.contracts.catalog import contracts
from tasks.engine.errors import ParameterError
from tasks.engine.explain.explanation import explain_row
from tasks.engine.explain.objects import explain_object
from tasks.engine.explain.texts import Section, sections_of_object, sections_of_row
from tasks.engine.export.markdown_tables import markdown_table
from tasks.policy import step
from tasks.prefect_texts import publish_markdown

USAGE = """\
python -m flows.explain TABLE COLUMN=VALUE ...   such as shop_marts.sales day=2021-04-30
python -m flows.explain s3://BUCKET/KEY[:LINE]"""


@step(task_run_name="Explain {target}")
def report_explanation(target: str, key: Mapping[str, str]) -> list[Section]:
    """Explain a row of a table, or an object, and publish the explanation.

    Args:
        target: `schema.table`, `s3://bucket/key` or `s3://bucket/key:line`.
        key: Values by column, for a table.

    Raises:
        ParameterError: The table, the row or the object does not exist, or several rows have the values.
    """
    found = explained(target, key)
    get_run_logger().info("%s", found[0].lines[0])
    publish_markdown(explanation_text(found), key="explain", description=f"Explanation of {target}")
    return found


def explained(target: str, key: Mapping[str, str]) -> list[Section]:
    """Explain a row of a table, or an object.

    Raises:
        ParameterError: As `report_explanation`.
    """
    known = list(contracts().values())
    with open_warehouse() as connection:
        if not target.startswith("s3://"):
            return sections_of_row(explain_row(connection, target, key, known))
        if key:
            raise ParameterError("expected a key only for a table, found one for an object: enter s3://bucket/key:line")
        return sections_of_object(explain_object(connection, target, known))


def pairs_of(arguments: Sequence[str]) -> dict[str, str]:
    """Read `column=value` pairs.

    Raises:
        ParameterError: An argument is no such pair, or a column occurs twice.
    """
    key: dict[str, str] = {}
    for argument in arguments:
        column, sign, value = argument.partition("=")
        if not sign or not re.fullmatch(r"\w+", column) or column in key:
            raise ParameterError(f"expected one column=value for each column, found {argument!r}\n{USAGE}")
        key[column] = value
    return key


def explanation_text(sections: Sequence[Section]) -> str:
    """The explanation in Markdown."""
    parts: list[str] = []
    for place, section in enumerate(sections):
        parts.append(f"{'#' if place == 0 else '##'} {section.title}")
        parts += section.lines
        if section.header:
            parts.append(markdown_table(section.header, section.rows))
    return "\n\n".join(parts)


def terminal_text(sections: Sequence[Section]) -> str:
    """The explanation as plain text with aligned columns."""
    lines: list[str] = []
    for section in sections:
        lines += ["", section.title, "-" * len(section.title), *section.lines]
        if section.header:
            table = [section.header, *section.rows]
            widths = [max(map(len, column)) for column in zip_longest(*table, fillvalue="")]
            lines += [
                "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
            ]
    return "\n".join(lines[1:])
