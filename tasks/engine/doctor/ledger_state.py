"""Checks of the ledger: every load balances, and the tables hold exactly the rows that the ledger counts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from tasks.contracts import Contract
from tasks.engine.build.sql_files import SqlTable
from tasks.engine.doctor.outcomes import Check, Finding, counted, ok, problem, skipped, warning
from tasks.engine.doctor.warehouse_server import Warehouse
from tasks.engine.quoting import listed, shown
from tasks.engine.warehouse.tables import Connection, has_table, table_name

EXAMPLES = 5
"""Maximum number of loads that a finding names."""

_COUNTS = """
WITH found AS (SELECT load_id, count(*) AS row_count FROM {table} GROUP BY 1),
known AS (
    SELECT load_id, partition, source_uri, rows_loaded FROM ledger.loads WHERE dataset = %s AND status = 'loaded'
)
SELECT load_id, k.partition, k.source_uri, k.rows_loaded, coalesce(f.row_count, 0)
FROM known AS k FULL JOIN found AS f USING (load_id)
WHERE k.rows_loaded IS DISTINCT FROM coalesce(f.row_count, 0) ORDER BY load_id
"""


@dataclass(frozen=True)
class LedgerState:
    """The ledger of a warehouse, and the contracts that it knows.

    Attributes:
        warehouse: The warehouse.
        contracts: All contracts.
        built: All tables that a query builds, by name.
    """

    warehouse: Warehouse
    contracts: Sequence[Contract]
    built: Mapping[str, SqlTable]

    @property
    def connection(self) -> Connection:
        """The connection to the warehouse."""
        return self.warehouse.connection

    def rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """All rows of a query."""
        return self.connection.execute(query.encode(), values or None).fetchall()


def check_balance(state: LedgerState) -> Iterator[Finding]:
    """Rows read are rows loaded plus rows rejected, for each load."""
    rows = state.rows(
        "SELECT load_id, dataset, partition, rows_read, rows_loaded, rows_rejected FROM ledger.loads"
        " WHERE rows_read <> rows_loaded + rows_rejected ORDER BY load_id"
    )
    if not rows:
        (count,) = state.rows("SELECT count(*) FROM ledger.loads")[0]
        yield ok(f"each of {count:,} loads balances: rows read = rows loaded + rows rejected")
        return
    texts = [
        f"load {row[0]} ({row[1]} {row[2]}): {row[3]:,} read, {row[4]:,} loaded, {row[5]:,} rejected" for row in rows
    ]
    yield problem(
        f"{counted(len(rows), 'load does', 'loads do')} not balance: {some(texts)}",
        "rows read = rows loaded + rows rejected. A constraint refuses anything else, so somebody dropped it",
        _reload({str(row[1]) for row in rows}),
    )


def check_counts(state: LedgerState) -> Iterator[Finding]:
    """Each staging table holds the rows of its loaded entries, and no others. One query for each table."""
    total, is_equal = 0, True
    for contract in state.contracts:
        if not has_table(state.connection, contract.table):
            if state.rows(
                "SELECT 1 FROM ledger.loads WHERE dataset = %s AND status = 'loaded' LIMIT 1", contract.dataset
            ):
                is_equal = False
                yield problem(
                    f"{contract.table} does not exist, and the ledger has loads of {contract.dataset}",
                    "the rows of every loaded entry",
                    "Run the pipeline: its first step creates the table, and the run loads the objects again",
                )
            continue
        total += 1
        query = sql.SQL(_COUNTS).format(table=table_name(contract.table))
        differences = state.connection.execute(query, [contract.dataset]).fetchall()
        is_equal = is_equal and not differences
        yield from _differences(contract, differences)
    if total and is_equal:
        yield ok(f"{total} staging tables hold the rows that the ledger counts, load by load")
    elif is_equal:
        yield skipped("no staging table exists yet: the first run of a pipeline creates its table")


def _differences(contract: Contract, rows: Iterable[tuple[int | None, str, str, int | None, int]]) -> Iterator[Finding]:
    orphans, wrong = [], []
    for load_id, partition, uri, known, found in rows:
        if known is None:
            orphans.append(f"{found:,} rows of load {load_id}")
        else:
            place = f"{partition}, {shown(uri)}" if partition else shown(uri)
            wrong.append(f"load {load_id} ({place}): {known:,} rows in the ledger, {found:,} in the table")
    if wrong:
        yield problem(
            f"{contract.table} differs from the ledger: {some(wrong)}",
            "as many rows of each load as the ledger counts: rows were added or removed outside of Tally",
            _reload({contract.dataset}),
        )
    if orphans:
        yield problem(
            f"{contract.table} holds rows that belong to no loaded entry of the ledger: {some(orphans)}",
            "only rows of loaded entries: these rows are counted nowhere, or twice",
            _reload({contract.dataset}),
        )


def check_rejected(state: LedgerState) -> Iterator[Finding]:
    """Each loaded entry has as many rejected rows as the ledger counts."""
    rows = state.rows(
        "WITH found AS (SELECT load_id, count(*) AS row_count FROM ledger.rejected_rows GROUP BY 1)"
        " SELECT l.load_id, l.dataset, l.partition, l.rows_rejected, coalesce(f.row_count, 0)"
        " FROM ledger.loads AS l LEFT JOIN found AS f USING (load_id)"
        " WHERE l.status = 'loaded' AND l.rows_rejected <> coalesce(f.row_count, 0) ORDER BY l.load_id"
    )
    if rows:
        texts = [f"load {row[0]} ({row[1]} {row[2]}): {row[3]:,} rejected, {row[4]:,} kept" for row in rows]
        yield problem(
            f"ledger.rejected_rows differs from ledger.loads: {some(texts)}",
            "one entry for each rejected row: rejected rows were removed or added outside of Tally",
            _reload({str(row[1]) for row in rows}),
        )
    replays = state.rows(
        "WITH found AS (SELECT resolved_by, count(*) AS row_count FROM ledger.rejected_rows"
        " WHERE resolved_by IS NOT NULL GROUP BY 1)"
        " SELECT l.load_id, l.dataset, l.rows_loaded, coalesce(f.row_count, 0) FROM ledger.loads AS l"
        " LEFT JOIN found AS f ON f.resolved_by = l.load_id"
        " WHERE l.replay_of IS NOT NULL AND l.status = 'loaded' AND l.rows_loaded <> coalesce(f.row_count, 0)"
        " ORDER BY l.load_id"
    )
    if replays:
        texts = [f"replay {row[0]} ({row[1]}): {row[2]:,} rows loaded, {row[3]:,} resolved" for row in replays]
        yield problem(
            f"replays differ from the rows that they resolved: {some(texts)}",
            "one resolved row for each row that a replay loaded",
            _reload({str(row[1]) for row in replays}),
        )
    if not rows and not replays:
        yield ok("the rejected rows equal the counts of their loads")


def check_attempts(state: LedgerState) -> Iterator[Finding]:
    """Every attempt to load has ended, or its session still exists. Otherwise its process died."""
    rows = state.rows(
        "SELECT attempt_id, dataset, partition, source_uri, started_at FROM ledger.load_attempts AS a"
        " WHERE status = 'started' AND NOT EXISTS (SELECT FROM pg_stat_activity AS s WHERE s.pid = a.backend_pid)"
        " ORDER BY attempt_id"
    )
    if not rows:
        yield ok("every attempt to load has ended, or its session still works")
        return
    texts = [f"attempt {row[0]} of {shown(str(row[3]))}, started {row[4]:%Y-%m-%d %H:%M} UTC" for row in rows]
    names = listed(sorted({f"{row[1]} {row[2]}".strip() for row in rows}))
    yield warning(
        f"{counted(len(rows), 'attempt')} to load without an end, whose session no longer exists: {some(texts)}",
        "an end for each attempt: the process was killed, or the database was unreachable when it failed",
        f"Run the pipeline of {names} again. The next attempt for the object closes this one",
    )


def check_datasets(state: LedgerState) -> Iterator[Finding]:
    """Every dataset of the ledger has a contract."""
    known = [contract.dataset for contract in state.contracts]
    rows = state.rows(
        "SELECT dataset, count(*) FROM ledger.loads WHERE status = 'loaded' AND dataset <> ALL(%s)"
        " GROUP BY 1 ORDER BY 1",
        known,
    )
    if rows:
        names = [f"{dataset} ({counted(int(str(count)), 'load')})" for dataset, count in rows]
        yield warning(
            f"the ledger has loads of datasets without a contract: {listed(names)}",
            "a contract for each loaded dataset: nothing loads or checks these rows any more",
            "Restore the contract. Or, if the pipeline was removed for good, drop its schemas and delete its entries",
        )
    else:
        yield ok(f"every loaded dataset has one of the {len(known)} contracts")


def check_builds(state: LedgerState) -> Iterator[Finding]:
    """What the ledger records as built still exists, with the inputs that it was built from."""
    names = [str(name) for (name,) in state.rows("SELECT DISTINCT table_name FROM ledger.builds ORDER BY 1")]
    gone = [name for name in names if not has_table(state.connection, name)]
    unknown = [name for name in names if name not in state.built and name not in gone]
    if gone:
        yield problem(
            f"the ledger records builds of tables that do not exist: {listed(gone)}",
            "a table for each build",
            "Run the pipeline: its first step creates the tables, and the run builds them again",
        )
    if unknown:
        yield warning(
            f"the ledger records builds of tables without a query: {listed(unknown)}",
            "a query under sql/ for each built table: nothing builds these tables any more",
            "Restore sql/<schema>/<table>/query.sql. Or drop the table and delete its entries in ledger.builds",
        )
    vanished = _vanished_inputs(state)
    if vanished:
        yield warning(
            f"inputs of builds no longer exist: {some(vanished)}",
            "the loads and tables that a build used",
            "Run the pipeline again, or backfill its partitions: the run builds from what exists now",
        )
    if not gone and not unknown and not vanished:
        yield ok(f"the {len(names)} built tables and their inputs exist")


def _vanished_inputs(state: LedgerState) -> list[str]:
    """Builds from a dataset or a table that has no entry any more, and finished partitions of vanished loads."""
    inputs = state.rows(
        "SELECT DISTINCT b.table_name, i.name FROM ledger.builds AS b"
        " CROSS JOIN jsonb_object_keys(b.inputs) AS i (name)"
        " WHERE (i.name LIKE 'dataset %' AND NOT EXISTS ("
        "   SELECT FROM ledger.loads AS l WHERE l.dataset = substr(i.name, 9))"
        "   AND b.inputs ->> i.name <> left(encode(sha256('{}'), 'hex'), 16))"
        " OR (i.name LIKE 'table %' AND to_regclass(substr(i.name, 7)) IS NULL) ORDER BY 1, 2"
    )
    loads = state.rows(
        "SELECT f.dataset, f.partition FROM ledger.finished_partitions AS f"
        " WHERE EXISTS (SELECT FROM unnest(f.load_ids) AS id WHERE NOT EXISTS"
        " (SELECT FROM ledger.loads AS l WHERE l.load_id = id)) ORDER BY 1, 2"
    )
    return [
        *(f"{table} was built from {name}" for table, name in inputs),
        *(
            f"{dataset} {partition} was finished from loads that the ledger does not have"
            for dataset, partition in loads
        ),
    ]


def some(texts: Sequence[str]) -> str:
    """The first texts of a finding, and the number of the others."""
    more = f"; and {len(texts) - EXAMPLES:,} more" if len(texts) > EXAMPLES else ""
    return "; ".join(texts[:EXAMPLES]) + more


def _reload(datasets: Iterable[str]) -> str:
    lines = [
        f".venv/bin/prefect deployment run reset/reset -p dataset={name} -p dry_run=false --watch"
        for name in sorted(datasets)
    ]
    return (
        "Load again: run the pipeline, or its backfill, with force=true. If rows belong to no load, remove the dataset"
        " first, then load everything:\n" + "\n".join(lines)
    )


LEDGER_CHECKS = (
    Check("loads balance", check_balance),
    Check("rows of the staging tables", check_counts),
    Check("rejected rows", check_rejected),
    Check("unfinished attempts", check_attempts),
    Check("datasets", check_datasets),
    Check("builds", check_builds),
)
