"""What derives from what: the tables under `sql/` by the sources that their headers name."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tasks.engine.build.sql_files import SqlTable, sql_table


def tables_in_order(root: Path) -> dict[str, SqlTable]:
    """All tables under `sql/` by name, each after the tables that it reads."""
    names = sorted(f"{path.parent.parent.name}.{path.parent.name}" for path in root.glob("*/*/*.sql"))
    tables = {name: sql_table(name, root) for name in dict.fromkeys(names)}
    ordered: dict[str, SqlTable] = {}

    def add(name: str) -> None:
        if name in tables and name not in ordered:
            for source in tables[name].sources:
                if source != name:
                    add(source)
            ordered.setdefault(name, tables[name])

    for name in tables:
        add(name)
    return ordered


def roots_of(tables: Mapping[str, SqlTable], staged: Iterable[str]) -> dict[str, set[str]]:
    """The staging tables that each table derives from, directly or through other tables.

    Args:
        tables: By name, each after the tables that it reads.
        staged: Names of the staging tables.
    """
    roots: dict[str, set[str]] = {name: {name} for name in staged}
    for name, table in tables.items():
        roots[name] = set().union(*(roots.get(source, set()) for source in table.sources))
    return roots
