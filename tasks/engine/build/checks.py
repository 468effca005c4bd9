"""Checks of built tables: SELECTs of the rows that break a rule.

Several checks of a schema may begin with the same named query, such as the number of staged rows of the month. If that
query is large, the build runs it once for all of these checks (`shared_queries.py`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from psycopg import sql

from tasks.engine.build.shared_queries import with_results
from tasks.engine.build.sql_code import code_of
from tasks.engine.build.sql_files import SqlTable
from tasks.engine.errors import CheckError, errors_at
from tasks.engine.masking import masked_example
from tasks.engine.receipts import CheckResult
from tasks.engine.warehouse.tables import Connection

EXAMPLES = 5

_CHECK = re.compile(r"^-- (fail|warn): *(.+)$", re.MULTILINE)


def run_checks(
    connection: Connection, table: SqlTable, parameters: Mapping[str, Any], shared: Mapping[str, str] | None = None
) -> list[CheckResult]:
    """Run a table's checks, which are SELECTs of the rows that break a rule. Returns the checks that found rows.

    Args:
        connection: In the transaction of the build.
        table: The table.
        parameters: Values of the queries' parameters.
        shared: Temporary tables with results of queries, by the text of the query, from `shared_results`.
    """
    broken = []
    for severity, name, body in checks_of(table):
        query = sql.SQL("SELECT count(*) OVER (), b.* FROM (\n{}\n) AS b LIMIT {}").format(
            sql.SQL(with_results(body, shared or {})), sql.Literal(EXAMPLES)
        )
        with errors_at(f"{table.address('checks.sql')}: {name}"):
            found = connection.execute(query, parameters)
            names = [column.name for column in found.description or ()][1:]
            rows = found.fetchall()
        if rows:
            examples = tuple(masked_example(names, row[1:], table.harmless_columns) for row in rows)
            broken.append(CheckResult(table.name, name, "fail" if severity == "fail" else "warn", rows[0][0], examples))
    return broken


def refuse_failed(results: Iterable[CheckResult]) -> None:
    """Stop a build if a check marked `fail` found rows.

    Raises:
        CheckError: A check found rows.
    """
    failed = [result for result in results if result.severity == "fail"]
    if failed:
        lines = [f"  {r.table}: {r.name}: {r.broken_count:,} rows, e.g. {'; '.join(r.examples)}" for r in failed]
        raise CheckError("checks failed, the tables did not change:\n" + "\n".join(lines))


def checks_of(table: SqlTable) -> Iterator[tuple[str, str, str]]:
    """Yield the severity, the name and the SELECT of each check of a table."""
    parts = _CHECK.split(table.text("checks.sql"))[1:]
    for severity, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        yield severity, name, code_of(body).strip("; \t\r\n\f\v")


def queries_of_checks(tables: Iterable[SqlTable]) -> list[str]:
    """Return the SELECTs of all checks of some tables."""
    return [body for table in tables for _, _, body in checks_of(table)]
