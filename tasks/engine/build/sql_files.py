"""The files under `sql/`: their headers, their order and their write dispositions.

A table's address is its path, `sql/<schema>/<table>/`: `table.sql` is idempotent DDL, `query.sql` one SELECT,
`affected_keys.sql` selects the keys that a merge recomputes, `checks.sql` holds assertions. Each file begins with a
header of `-- key: value` lines. The write disposition in the header of `query.sql` says how a build writes the rows.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Literal

from psycopg import sql

from tasks.engine.build.file_texts import text_of
from tasks.engine.build.sql_code import code_of
from tasks.engine.errors import SqlFileError

ROOT = Path(__file__).parents[3] / "sql"
FILES = ("table.sql", "query.sql", "affected_keys.sql", "checks.sql")
TRACE = "trace.sql"
"""Selects the rows that a row derives from; see `tasks.engine.explain.traces`. Its changes make no build due."""

HEADER_KEYS = ("grain", "key", "parameters", "sources", "write disposition", "rules")
OPTIONAL_KEYS = ("access", "rebuild", "not personal")
"""`access: loader` in a `table.sql` gives analysts no access; with `access: owner` the loader can only read the table.
`rebuild: from query` allows the DDL step to rebuild a table, see `tasks.engine.schema.rebuilds`. `not personal: a, b`
names text columns of the table that messages may show, besides the columns that a contract declares."""

_HEADER_LINE = re.compile(r"^-- ([a-z ]+): *(.*)$")
_DISPOSITION = re.compile(
    r"replace table|fill shared table|replace partition \((?P<partition>\w+)\)"
    r"|merge by \((?P<merge>\w+(?:, *\w+)*)\)"
    r"|history by \((?P<history>\w+(?:, *\w+)*)\)"
    r"|(?P<append>append)\b(?:, change all but \((?P<kept>\w+(?:, *\w+)*)\))?"
)

_PLACEHOLDER = re.compile(r"%\(\w+\)s")

DispositionKind = Literal["replace", "merge", "history", "append", "upsert"]
_KIND_OF: dict[str, DispositionKind] = {"merge": "merge", "history": "history", "kept": "upsert", "append": "append"}

VALID_FROM, VALID_TO = "valid_from", "valid_to"
"""Columns that a history adds to the columns of its query: the times from which and until which a row is valid."""


@dataclass(frozen=True)
class Disposition:
    """How a build writes the rows of a query.

    Attributes:
        kind: `replace` replaces the table or a partition; `merge` inserts, changes and removes the rows of the affected
            keys; `history` keeps each version of a key's row with the time in which it is valid; `append` inserts rows
            with a new key; `upsert` also changes rows with an existing key.
        columns: The columns of the affected keys for a merge, the key of a snapshot's row for a history, the partition
            column for a partition, the columns that do not change for an upsert; empty for a whole table.
    """

    kind: DispositionKind
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class SqlTable:
    """One folder under `sql/`."""

    name: str
    folder: Path

    def text(self, file: str) -> str:
        """Text of a file of the table; empty if the file does not exist."""
        return text_of(self.folder / file)

    def address(self, file: str) -> str:
        """Path of a file of the table, for messages."""
        return f"sql/{self.name.replace('.', '/')}/{file}"

    def header(self, file: str) -> dict[str, str]:
        """Header of a file, by key. A line without a key continues the previous line."""
        return dict(_header(self.text(file)))

    @property
    def query(self) -> sql.SQL:
        """The SELECT of `query.sql`.

        Raises:
            SqlFileError: The file is missing or empty.
        """
        return self.select("query.sql")

    def select(self, file: str) -> sql.SQL:
        """The SELECT of a file.

        Raises:
            SqlFileError: The file is missing or empty.
        """
        text = code_of(self.text(file)).rstrip("; \t\r\n\f\v")
        if not text:
            raise SqlFileError(f"{self.folder}: expected a {file} with one SELECT, found none")
        return sql.SQL(text)

    @cached_property
    def sources(self) -> list[str]:
        """Tables that this table reads or refers to. `affected_keys.sql` does not count: it runs first."""
        names = " ".join(self.header(file).get("sources", "") for file in ("table.sql", "query.sql"))
        return re.findall(r"\w+\.\w+", names)

    @cached_property
    def key(self) -> list[str]:
        """Columns of the key. Exports are ordered by the key."""
        return re.findall(r"\w+", self.header("query.sql").get("key", ""))

    @cached_property
    def disposition(self) -> Disposition:
        """How a build writes the rows of `query.sql`.

        Raises:
            SqlFileError: The disposition in the header is unknown, or a part that the disposition needs is missing.
        """
        found = self.header("query.sql").get("write disposition", "")
        match = _DISPOSITION.match(found)
        if match is None:
            raise SqlFileError(
                f"{self.address('query.sql')}: write disposition is {found!r}; expected `replace table`,"
                " `replace partition (column)`, `merge by (column, ...)`, `history by (column, ...)`, `append`,"
                " `append, change all but (column, ...)` or `fill shared table` in the header"
            )
        kind: DispositionKind = next((kind for group, kind in _KIND_OF.items() if match[group]), "replace")
        named = match["partition"] or match["merge"] or match["history"] or match["kept"] or ""
        columns = tuple(re.findall(r"\w+", named))
        if kind != "replace" and not self.key:
            raise SqlFileError(f"{self.address('query.sql')}: expected a key in the header for `{kind}`")
        if (kind == "merge") != bool(self.text("affected_keys.sql")):
            wanted = "an affected_keys.sql that selects the keys" if kind == "merge" else "no affected_keys.sql"
            raise SqlFileError(f"{self.address('query.sql')}: {kind} needs {wanted}")
        if kind == "history" and (*columns, VALID_FROM) != tuple(self.key):
            wanted = ", ".join((*columns, VALID_FROM))
            raise SqlFileError(
                f"{self.address('query.sql')}: expected `-- key: {wanted}` in the header for a history, found"
                f" {', '.join(self.key)}; the key of a history is the key of a snapshot's row and {VALID_FROM}"
            )
        return Disposition(kind, columns)

    @cached_property
    def replaced_column(self) -> str | None:
        """Partition column of a table whose partitions a build replaces; None for other tables.

        Raises:
            SqlFileError: As `disposition`.
        """
        return next(iter(self.disposition.columns), None) if self.disposition.kind == "replace" else None

    @property
    def access(self) -> str:
        """Value of `access` in the header of `table.sql`, see `OPTIONAL_KEYS`; empty if the header does not name it."""
        return self.header("table.sql").get("access", "")

    @property
    def harmless_columns(self) -> list[str]:
        """Text columns that contain no personal data, by the header of `table.sql`."""
        return re.findall(r"\w+", self.header("table.sql").get("not personal", ""))

    @cached_property
    def is_whole(self) -> bool:
        """Whether the table is built as a whole: a build for any partition writes the same rows.

        A history is built as a whole if its query has no parameter. Its snapshot then holds all rows of its datasets.

        Raises:
            SqlFileError: As `disposition`.
        """
        if self.disposition.kind == "history":
            return not _PLACEHOLDER.search(code_of(self.text("query.sql")))
        return self.disposition.kind == "replace" and not self.disposition.columns

    @property
    def schema(self) -> str:
        """Schema of the table."""
        return self.name.split(".")[0]

    @property
    def is_built(self) -> bool:
        """Whether a build fills the table; a view has no query, and the query of a report has no table."""
        return bool(self.text("table.sql") and self.text("query.sql"))

    @property
    def reads(self) -> list[str]:
        """Tables and views that the query reads, or that the view reads; foreign keys do not count."""
        return self._named_sources("query.sql" if self.text("query.sql") else "table.sql")

    @property
    def affected_reads(self) -> list[str]:
        """Tables and views that `affected_keys.sql` reads."""
        return self._named_sources("affected_keys.sql")

    def _named_sources(self, file: str) -> list[str]:
        names = re.findall(r"\w+\.\w+", self.header(file).get("sources", ""))
        return [name for name in dict.fromkeys(names) if name != self.name]

    @cached_property
    def is_shared(self) -> bool:
        """Whether another owner may fill the table. A build never writes to a table that holds another owner's rows."""
        return self.header("table.sql").get("write disposition", "").startswith("fill shared table")


@lru_cache(maxsize=1000)
def _header(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        match = _HEADER_LINE.match(line)
        if match and match.group(1) in (*HEADER_KEYS, *OPTIONAL_KEYS):
            key = match.group(1)
            values[key] = match.group(2).strip()
        elif key:
            values[key] = f"{values[key]} {line.removeprefix('--').strip()}"
    return values


def sql_table(name: str, root: Path = ROOT) -> SqlTable:
    """The folder of one address, `schema.table`."""
    return SqlTable(name, root.joinpath(*name.split(".")))


def views_of(table: SqlTable, root: Path = ROOT) -> list[SqlTable]:
    """Views that a table's query or its `affected_keys.sql` reads, directly or through other views.

    The list includes plain tables without a build.
    """
    return _views([*table.reads, *table.affected_reads], root)


def _views(names: Iterable[str], root: Path) -> list[SqlTable]:
    found: dict[str, SqlTable] = {}
    waiting = list(names)
    while waiting:
        source = sql_table(waiting.pop(), root)
        if source.name not in found and source.text("table.sql") and not source.text("query.sql"):
            found[source.name] = source
            waiting += source.reads
    return [found[name] for name in sorted(found)]


def built_sources(table: SqlTable, root: Path = ROOT) -> list[SqlTable]:
    """Built tables that a table depends on, directly or through views.

    A source of `affected_keys.sql` counts only if it is in another schema and does not derive from the table.
    `affected_keys.sql` reads any other source before the build writes to it. If such a source counted, each build would
    make the next build due.
    """
    read = built_among(table.reads, root)
    affected = built_among(table.affected_reads, root)
    found = {source.name: source for source in read if source.name != table.name}
    others = [source for source in affected if source.schema != table.schema]
    found |= {source.name: source for source in others if not _derives_from(source, table, root)}
    return [found[name] for name in sorted(found)]


def _derives_from(table: SqlTable, source: SqlTable, root: Path) -> bool:
    """Whether the query of a table reads another table, directly or through views and built tables."""
    waiting, seen = [table], set[str]()
    while waiting:
        for read in built_among(waiting.pop().reads, root):
            if read.name == source.name:
                return True
            if read.name not in seen:
                seen.add(read.name)
                waiting.append(read)
    return False


def built_among(names: list[str], root: Path) -> list[SqlTable]:
    """The built tables among some tables and views, and among the sources of these views."""
    everything = {*names, *(name for view in _views(names, root) for name in view.reads)}
    return [source for name in sorted(everything) if (source := sql_table(name, root)).is_built]


def tables_of(schema: str, root: Path = ROOT) -> list[SqlTable]:
    """Tables of a schema, each after the tables that it reads."""
    folders = [folder for folder in (root / schema).glob("*/") if folder.name != "migrations"]
    names = [f"{schema}.{folder.name}" for folder in folders]
    tables = {name: sql_table(name, root) for name in names}
    if not tables:
        raise SqlFileError(f"no tables under {root / schema}: expected sql/{schema}/<table>/; check the schema's name")
    graph = {name: [source for source in table.sources if source in tables] for name, table in sorted(tables.items())}
    return [tables[name] for name in TopologicalSorter(graph).static_order()]


def sql_digest(schemas: Iterable[str], root: Path = ROOT) -> str:
    """Digest of the SQL of some schemas; a change in any file changes the digest."""
    digest = hashlib.sha256()
    for path in sorted(path for schema in schemas for path in (root / schema).glob("*/*.sql") if path.name in FILES):
        digest.update(f"{path.relative_to(root).as_posix()}\0{text_of(path)}\0".encode())
    return digest.hexdigest()
