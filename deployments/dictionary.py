"""The data dictionary: every table and view with its columns, from the contracts, `sql/` and Postgres' catalog.

    python -m deployments.dictionary            # writes docs/tables.md and docs/tables.html
    python -m deployments.dictionary --check    # fails if the files are not up to date

The command creates all tables in a temporary Postgres server and reads their types and comments from its catalog.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from deployments.local.postgres_server import Postgres
from tasks.contracts import Contract
from tasks.contracts.catalog import contracts
from tasks.engine.build.sql_files import ROOT, sql_table, tables_of
from tasks.engine.export.pages import anchor, html_page
from tasks.engine.schema.ddl import apply_ddl
from tasks.engine.schema.desired import wanted_objects
from tasks.engine.schema.relations import ColumnInfo, Relation, read_relations
from tasks.engine.schema.rights import pipelines, relations_of
from tasks.engine.settings import WarehouseSettings
from tasks.engine.warehouse.tables import Connection, connect

TITLE = "Tables"
FOLDER = ROOT.parent / "docs"
EXAMPLES = "examples.sql"
_QUESTION = re.compile(r"^-- question: (.+)$", re.MULTILINE)
_HEADER = {"grain": "One row", "key": "Key", "sources": "Sources", "write disposition": "Updates", "rules": "Rules"}
_EMPTY = ("", "none")


def examples_of(schema: str, root: Path = ROOT) -> list[tuple[str, str]]:
    """The example queries of a schema, from `sql/<schema>/examples.sql`.

    Returns:
        Pairs of a question and the SELECT that answers the question.

    Raises:
        ValueError: The file does not begin with a question, or a question has no query.
    """
    path = root / schema / EXAMPLES
    if not path.exists():
        return []
    first, *parts = _QUESTION.split(path.read_text(encoding="utf-8"))
    found = [(question.strip(), query.strip()) for question, query in zip(parts[::2], parts[1::2], strict=True)]
    if first.strip() or not found or not all(query.endswith(";") for _, query in found):
        raise ValueError(f"{path}: expected `-- question: ...` lines, each with one query that ends with a semicolon")
    return found


def dictionary(connection: Connection, root: Path = ROOT) -> str:
    """Create all tables in an empty database, and describe them in Markdown.

    Args:
        connection: Session in an empty database.
        root: Folder of the SQL.
    """
    datasets = {contract.table: contract for contract in contracts().values()}
    parts, seen = list[str](), list[str]()
    for pipeline in pipelines(root).values():
        apply_ddl(connection, pipeline.contracts, pipeline.schemas, root)
        wanted = [each.name for each in wanted_objects(pipeline.contracts, pipeline.schemas, root)]
        names = [each for each in wanted if not each.startswith("ledger.") and each not in seen]
        seen += names
        parts += _schemas(connection, names, datasets, root)
    ledger = [table.name for table in tables_of("ledger", root) if table.text("table.sql")]
    apply_ddl(connection, (), (), root)
    parts += _schemas(connection, ledger, datasets, root)
    return "\n".join([f"# {TITLE}\n", f"{_INTRODUCTION}\n", *_contents(connection, [*seen, *ledger], root), *parts])


_INTRODUCTION = (
    "This page lists the tables and views of every pipeline. The command `make dictionary` writes the page from the"
    " contracts and the files under `sql/`. Do not edit the page.\n\n"
    "Each staging table has a view whose name ends in `_ingested`. The view has the columns of the table, and the"
    " columns `source_uri`, `source_version`, `loaded_at` and `flow_run_id`."
)


def _contents(connection: Connection, names: Sequence[str], root: Path) -> Iterator[str]:
    """The names of the tables, first those that analysts may read. A view of a staging table links to this table."""
    read = {each.name for group in pipelines(root).values() for each in relations_of(group, root) if each.is_read}
    tables = {contract.ingested: contract.table for contract in contracts().values()}
    relations = read_relations(connection, names)
    others = [name for name in names if name not in read and name not in tables]
    for title, found in (
        ("Tables for analysts", [name for name in names if name in read]),
        ("Tables of the flows and of operators", others),
    ):
        if found:
            yield f"## {title}\n\n| table or view | content |\n| --- | --- |"
            for name in found:
                content = _cell(relations[name].comment).removesuffix(".")
                yield f"| [`{name}`](#{anchor(tables.get(name, name))}) | {content} |"
            yield ""


def _schemas(connection: Connection, names: Sequence[str], datasets: dict[str, Contract], root: Path) -> Iterator[str]:
    relations = read_relations(connection, names)
    views = {contract.ingested for contract in datasets.values()}
    for schema in dict.fromkeys(name.split(".")[0] for name in names):
        yield f"## Schema `{schema}`\n"
        for name in names:
            if name.split(".")[0] == schema and name not in views:
                yield _relation(relations[name], datasets.get(name), root)
        if examples := examples_of(schema, root):
            yield f"### Examples for `{schema}`\n"
            yield from (f"{question}\n\n```sql\n{query}\n```\n" for question, query in examples)


def _relation(relation: Relation, contract: Contract | None, root: Path) -> str:
    columns = relation.columns.values()
    sensitive = {column.name for column in contract.columns if column.sensitive} if contract else set()
    table = _view(columns) if relation.is_view else _table(columns, sensitive)
    facts = _facts(relation.name, contract, root)
    return "\n".join([f"### `{relation.name}`\n", f"{_cell(relation.comment)}\n", *facts, *table, ""])


def _facts(name: str, contract: Contract | None, root: Path) -> list[str]:
    table = sql_table(name, root)
    header = {**table.header("table.sql"), **table.header("query.sql")}
    facts = [f"- {label}: {header[key]}" for key, label in _HEADER.items() if header.get(key, "") not in _EMPTY]
    if contract:
        facts.append(f"- Dataset: `{contract.dataset}`")
        facts.append(f"- View with the object and the load of each row: `{contract.ingested}`")
        if contract.partition:
            facts.append(f"- Partitions: one {contract.partition.unit} each, in `{contract.partition.column}`")
    return [*facts, ""] if facts else []


def _table(columns: Iterable[ColumnInfo], sensitive: Collection[str]) -> Iterator[str]:
    yield "| column | type | null | meaning |"
    yield "| --- | --- | --- | --- |"
    for column in columns:
        meaning = _cell(column.comment) + (" (personal data)" if column.name in sensitive else "")
        yield f"| `{column.name}` | {column.type} | {'yes' if column.is_nullable else 'no'} | {meaning} |"


def _view(columns: Iterable[ColumnInfo]) -> Iterator[str]:
    """The table of a view's columns. It says nothing about nulls, because Postgres does not know them in a view."""
    yield "| column | type | meaning |"
    yield "| --- | --- | --- |"
    for column in columns:
        yield f"| `{column.name}` | {column.type} | {_cell(column.comment)} |"


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def files(markdown: str) -> dict[str, str]:
    """The content of the dictionary's files, by file name."""
    return {"tables.md": markdown, "tables.html": html_page(TITLE, markdown)}


def stale_files(folder: Path, contents: dict[str, str]) -> list[str]:
    """The files of a folder that are missing or have another content."""
    paths = {name: folder / name for name in contents}
    return [
        name for name, path in paths.items() if not path.exists() or path.read_text(encoding="utf-8") != contents[name]
    ]


@contextmanager
def empty_database() -> Iterator[Connection]:
    """A session in the empty database of a temporary Postgres server."""
    with tempfile.TemporaryDirectory(prefix="tally-dictionary-") as folder:
        server = Postgres(Path(folder), is_durable=False)
        server.start()
        try:
            with connect(WarehouseSettings(dsn=SecretStr(server.dsn)), "tally dictionary") as connection:
                yield connection
        finally:
            server.stop("immediate")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the two files; the exit code is 1 if a check finds a file that is not up to date."""
    parser = argparse.ArgumentParser(prog="python -m deployments.dictionary", description="Write the data dictionary.")
    parser.add_argument("--check", action="store_true", help="compare the files and write nothing")
    check = parser.parse_args(arguments).check
    with empty_database() as connection:
        contents = files(dictionary(connection))
    stale = stale_files(FOLDER, contents)
    for name in stale:
        if check:
            print(f"docs/{name} does not describe the current tables. Run make dictionary", file=sys.stderr)
        else:
            FOLDER.joinpath(name).write_text(contents[name], encoding="utf-8")
            print(f"Wrote docs/{name}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
