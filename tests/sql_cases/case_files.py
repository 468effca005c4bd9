r"""The format of a SQL case: one YAML file with the input tables, the parameters and the expected answer.

The address of a case, `<schema>/<table>/<case>.yaml`, starts with the address of a folder under `sql/`. Its keys:

    description     one sentence: what the case shows
    parameters      values of the parameters of the table's SQL
    snapshot        of a history: the day from which the query's rows are valid, and with `next snapshot` the day of the
                    next snapshot that was built before; the expected rows have valid_from and valid_to
    input           rows by table. A table lists only the columns that matter; any other NOT NULL column gets a neutral
                    value. Rows of the built table itself are its rows before the build.
    expect          the rows after the build: of a table, all its rows in any order; of a view, the listed columns; of
                    a query that fills no table, its answer in order. Without this key nothing is built, and the checks
                    read the input as it is.
    broken checks   the checks that the rows break, `- fail: <name>` or `- warn: <name>` with `rows: <count>`;
                    without this key, none

A table of rows is text. Its first line names the columns, and `|` separates the cells:

    order_id | note            | tags
    1        | as it is        | {a,"b c"}
    2        | "\ttab\u00a0"   |
    3        | ""              | {}

A cell is the text that Postgres reads as a value, without the spaces around it. A blank cell is null. A cell that
begins with a quotation mark is a JSON string. Write one for the empty string, and for blanks around a text, control
characters and `|`.

A table with many columns and few rows reads better sideways. Its first column is then called `column`:

    column   | row 1 | row 2
    order_id | 1     | 2
    note     | a     |
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from tasks.engine.build import sql_files
from tasks.engine.build.snapshots import Snapshot
from tasks.engine.build.sql_files import SqlTable

KEYS = {"description", "parameters", "snapshot", "next snapshot", "input", "expect", "broken checks"}
_CELL = re.compile(r'\| *(?:("(?:[^"\\]|\\.)*")|([^|" ](?:[^|]*[^| ])?)?) *(?=\||\Z)')
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")

Check = tuple[str, str, int]
"""Severity, name, and the number of rows that break it."""


class CaseError(Exception):
    """A file is not a valid case."""


@dataclass(frozen=True)
class Rows:
    """A table of a case: each cell is the text of a value, or None for null."""

    columns: tuple[str, ...]
    cells: tuple[tuple[str | None, ...], ...]


@dataclass(frozen=True)
class Case:
    """One case, which tests one folder under `sql/`."""

    path: Path
    root: Path = sql_files.ROOT

    @property
    def address(self) -> str:
        return f"{self.path.parent.parent.name}.{self.path.parent.name}"

    @cached_property
    def table(self) -> SqlTable:
        table = sql_files.sql_table(self.address, self.root)
        if not table.folder.is_dir():
            raise CaseError(f"{self.path}: expected the folder sql/{self.address.replace('.', '/')}/, found none")
        return table

    @cached_property
    def content(self) -> Mapping[str, Any]:
        try:
            content = yaml.load(self.path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 (a SafeLoader)
        except yaml.YAMLError as error:
            raise CaseError(f"{self.path}: expected YAML: {error}") from error
        if not isinstance(content, dict) or not content.keys() <= KEYS:
            found = sorted(map(str, content)) if isinstance(content, dict) else content
            raise CaseError(f"{self.path}: expected the keys {sorted(KEYS)}, found {found}")
        if not re.fullmatch(r"[A-Z].*[.]", str(content.get("description", "")), re.DOTALL):
            raise CaseError(f"{self.path}: expected a description that is a sentence")
        if not content.keys() & {"expect", "broken checks"}:
            raise CaseError(f"{self.path}: expected the key `expect` or `broken checks`, found neither")
        return content

    @cached_property
    def inputs(self) -> dict[str, Rows]:
        """Rows by the table that they fill. A table follows those that its foreign keys refer to."""
        tables = self.content.get("input", {})
        if not isinstance(tables, dict):
            raise CaseError(f"{self.path}: expected the rows of each input table under its name, found {tables}")
        sources = {str(name): sql_files.sql_table(str(name), self.root).sources for name in tables}
        graph = {name: [source for source in needed if source in tables] for name, needed in sources.items()}
        order = TopologicalSorter(graph).static_order()
        return {name: parse_rows(tables[name], f"{self.path}: input {name}") for name in order}

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        given = self.content.get("parameters", {})
        text = "".join(map(self.table.text, ("query.sql", "affected_keys.sql", "checks.sql")))
        wanted = set(_PLACEHOLDER.findall(text))
        if not isinstance(given, dict) or set(given) != wanted:
            raise CaseError(f"{self.path}: expected the parameters {sorted(wanted)}, found {given}")
        return given

    @property
    def snapshot(self) -> Snapshot | None:
        """The time that the build of a history writes; None for other tables."""
        days = [self.content.get(key) for key in ("snapshot", "next snapshot")]
        start, end = (datetime.combine(day, time(), UTC) if isinstance(day, date) else None for day in days)
        if (start is not None) != (self.table.is_built and self.table.disposition.kind == "history"):
            raise CaseError(f"{self.path}: expected the key `snapshot` with a day for a history only, found {days[0]}")
        return Snapshot(start, end) if start else None

    @cached_property
    def expected(self) -> Rows | None:
        """The expected rows; None if the checks read the input unchanged."""
        return parse_rows(self.content["expect"], f"{self.path}: expect") if "expect" in self.content else None

    @cached_property
    def expected_checks(self) -> list[Check]:
        try:
            checks = []
            for entry in self.content.get("broken checks", []):
                ((severity, name),) = ((key, value) for key, value in entry.items() if key != "rows")
                checks.append((str(severity), str(name), int(entry["rows"])))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise CaseError(
                f"{self.path}: broken checks: expected a list of `- fail: <name>` with `rows: <count>`: {error!r}"
            ) from error
        return checks


class _UniqueKeys(yaml.SafeLoader):
    """Refuses repeated keys. PyYAML alone would keep the last one and drop the others."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if repeated := {str(key) for key in keys if keys.count(key) > 1}:
            raise yaml.constructor.ConstructorError(
                None, None, f"expected each key once, found {sorted(repeated)} twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def parse_rows(text: object, where: str) -> Rows:
    """Read a table of rows.

    Args:
        text: A header and one line per row, or the same sideways.
        where: Names the table in messages.

    Raises:
        CaseError: The text has no header, an empty line, an unclosed quotation mark or a line of another width.
    """
    lines = text.removesuffix("\n").split("\n") if isinstance(text, str) and text else []
    if not lines:
        raise CaseError(f"{where}: expected a header with the names of the columns, found {text!r}")
    table = [_cells(line, f"{where}, line {number}") for number, line in enumerate(lines, start=1)]
    for number, cells in enumerate(table, start=1):
        if len(cells) != len(table[0]):
            raise CaseError(f"{where}, line {number}: expected {len(table[0])} cells as in the header, found {cells}")
    if table[0][0] == "column":
        table = [list(cells) for cells in zip(*table, strict=True)]
        table = [table[0][1:], *(cells[1:] for cells in table[1:])]
    columns = [name for name in table[0] if name]
    if len(columns) != len(table[0]) or len(set(columns)) != len(columns):
        raise CaseError(f"{where}: expected a different name for each column, found {table[0]}")
    return Rows(tuple(columns), tuple(map(tuple, table[1:])))


def _cells(line: str, where: str) -> list[str | None]:
    if not line.strip(" "):
        raise CaseError(f"{where}: expected a row, found an empty line; add a column to write a row that is all null")
    cells: list[str | None] = []
    end = 0
    for found in _CELL.finditer(f"|{line}"):
        if found.start() != end:
            break
        end = found.end()
        quoted, plain = found.groups()
        cells.append(_unquoted(quoted, where) if quoted else plain)
    if end != len(line) + 1:
        raise CaseError(f"{where}: expected ` | ` after a cell, found {line[max(end - 1, 0) :]!r}; quote it as in JSON")
    return cells


def _unquoted(cell: str, where: str) -> str:
    try:
        return str(json.loads(cell))
    except ValueError as error:
        raise CaseError(f"{where}: expected a JSON string, found {cell}: {error}") from error


def format_row(row: Sequence[object]) -> str:
    """A row as a case writes it, without padding."""
    return " | ".join("" if value is None else _format(str(value)) for value in row)


def _format(text: str) -> str:
    is_plain = text and text.isprintable() and text == text.strip(" ") and text[0] != '"' and "|" not in text
    return text if is_plain else json.dumps(text, ensure_ascii=not text.isprintable())
