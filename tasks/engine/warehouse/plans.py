"""Plans of queries: what Postgres expects a query to cost, and whether parallel workers run it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from tasks.engine.warehouse.tables import Connection


@dataclass(frozen=True)
class Plan:
    """The plan of a query.

    Attributes:
        cost: The expected cost in Postgres's units; 1 is about one page that is read in order.
        is_parallel: Whether parallel workers run a part of the query.
        row_count: The expected number of rows.
        most_rows: The expected number of rows of the step with the most rows, such as a scan.
    """

    cost: float
    is_parallel: bool
    row_count: int
    most_rows: int


def plan_of(connection: Connection, query: sql.Composable, parameters: Mapping[str, Any]) -> Plan:
    """Ask Postgres for the plan of a query, without running the query."""
    row = connection.execute(sql.SQL("EXPLAIN (FORMAT JSON) {}").format(query), parameters).fetchone()
    root = row[0][0]["Plan"] if row else {}
    waiting, types, most_rows = [root], set[str](), 0
    while waiting:
        node = waiting.pop()
        types.add(node["Node Type"])
        most_rows = max(most_rows, int(node["Plan Rows"]))
        waiting += node.get("Plans", [])
    is_parallel = not types.isdisjoint({"Gather", "Gather Merge"})
    return Plan(float(root["Total Cost"]), is_parallel, int(root["Plan Rows"]), most_rows)
