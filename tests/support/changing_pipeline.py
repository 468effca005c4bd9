"""The operator of a made-up pipeline: changes objects and contracts, runs what is due, and compares tables."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest
from changing_facts import HEADER, SCHEMAS, Declaration, Expected, Record, Row, expected
from prefect import Flow
from runs_here import without_server
from sample_dataset import client, connection, lake

from tasks.backfill import list_partitions, report_finished
from tasks.contracts.keys import partition_value
from tasks.engine import ledger
from tasks.engine.backfill.planner import BackfillPlan
from tasks.engine.backfill.staleness import PipelineInputs
from tasks.engine.build.build_inputs import Build
from tasks.engine.errors import ErrorBudgetError, FailedLoadsError, ShrinkError, TallyError
from tasks.engine.load.partition_reset import reset_partition
from tasks.engine.schema.ddl import apply_ddl
from tasks.load import load_objects
from tasks.partition_runs import Pipeline
from tasks.replay import load_rejected
from tasks.transform import build_tables

ROUNDS = 12
"""Maximum number of plans until nothing is due."""

QUERIES = {
    "core.names": "SELECT code, name FROM core.names",
    "marts.sums": "SELECT month, name, amount, fact_count FROM marts.sums",
    "marts.totals": "SELECT fact_count, amount, name_count FROM marts.totals",
    "latest.facts": "SELECT code, month, amount FROM latest.facts",
    "history.codes": "SELECT code, amount, valid_from, valid_to FROM history.codes",
}


class Operator:
    """The state of the lake, and the steps of an operator.

    Attributes:
        declared: The current contracts.
        objects: Records of the facts in the lake, by key.
        names: The delivered names, by key.
        log: What happened, for the message of a failed comparison.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.declared = Declaration()
        self.objects: dict[str, list[Record]] = {}
        self.names: dict[str, dict[str, str]] = {}
        self.log: list[str] = []
        self.apply(self.declared)

    def put(self, key: str, records: list[Record]) -> None:
        self._write(key, HEADER + b"".join(",".join(record).encode() + b"\n" for record in records))
        self.objects[key] = records

    def put_names(self, key: str, names: dict[str, str]) -> None:
        self._write(key, b"code,name\n" + b"".join(f"{code},{name}\n".encode() for code, name in names.items()))
        self.names[key] = names

    def _write(self, key: str, data: bytes) -> None:
        client().put_object(Bucket=os.environ["LAKE_BUCKET"], Key=key, Body=data)

    def remove(self, key: str) -> None:
        client().delete_object(Bucket=os.environ["LAKE_BUCKET"], Key=key)
        self.objects.pop(key)

    @property
    def newest_names(self) -> str | None:
        found = {stored.key: stored.modified_at for stored in lake().list("names-")}
        return max(sorted(found), key=found.__getitem__, default=None)  # of equal times, the first key counts

    def apply(self, declared: Declaration) -> None:
        """Deploy contracts: the DDL step either succeeds or refuses all of them."""
        with connection() as warehouse:
            apply_ddl(warehouse, [declared.facts, declared.names], SCHEMAS, self.root)
        self.declared = declared

    @property
    def pipeline(self) -> Pipeline:
        facts, names = self.declared.facts, self.declared.names
        builds = tuple(Build(schema, (facts, names), _parameters, self.root) for schema in SCHEMAS)
        return Pipeline(PipelineInputs(facts, (names,), builds), Flow(_nothing, name="facts"), "month")

    def plan(self) -> BackfillPlan:
        with without_server():
            return list_partitions(self.pipeline, None, None)

    def run(self, month: str, *, force: bool = False, until: str = "end") -> None:
        """Run one month as a flow does, or only until the end of its loads or its builds."""
        pipeline = self.pipeline
        self.log.append(f"run {month} force={force} until={until}")
        with without_server():
            for contract in (pipeline.contract, *pipeline.secondary):
                load_objects(contract, month if contract.partition else "", force=force)
            if until == "load":
                return
            receipts = [one for build in pipeline.inputs.builds for one in build_tables(build, month, force=force)]
            if until == "end":
                report_finished(pipeline.contract, month, receipts)

    def run_killed(self, month: str, function: str) -> None:
        """Run one month while its session ends during a call of a function of the ledger."""
        original = getattr(ledger, function)

        def killed(warehouse: psycopg.Connection[Any], *arguments: Any, **named: Any) -> Any:
            with connection() as other:
                other.execute("SELECT pg_terminate_backend(%s)", [warehouse.info.backend_pid])
            return original(warehouse, *arguments, **named)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ledger, function, killed)
            self.try_run(month)

    def replay(self) -> None:
        with without_server():
            load_rejected(self.declared.facts)

    def reset(self, month: str) -> None:
        with connection() as warehouse:
            reset_partition(warehouse, self.declared.facts, month)

    def catch_up(self) -> None:
        """Run what is due until nothing is due: correct objects over the budget, and confirm the loss of rows."""
        for _ in range(ROUNDS):
            plan = self.plan()
            self.log.append(f"plan {[(one.partition, one.state, one.changes) for one in plan.partitions]}")
            for month in plan.due:
                self._run_due(month)
            if plan.due:
                continue
            orphaned = plan.of("orphaned")
            if not orphaned:
                return
            for month in orphaned:
                self.log.append(f"reset {month}")
                self.reset(month)
        raise AssertionError(self.told("expected that nothing is due"))

    def _run_due(self, month: str) -> None:
        before = self.rows()
        mine = [key for key in self.objects if self.declared.partition_of(key) == month]
        bad = [key for key in mine if self.declared.is_over_budget(self.objects[key])]
        failure = self.try_run(month)
        lost = [key for key in mine if before.get(key) and self.declared.is_empty(self.objects[key])]
        if not failure:
            assert not bad + lost, self.told(f"expected {bad + lost} to fail")
            return
        is_known = isinstance(failure, ErrorBudgetError | ShrinkError | FailedLoadsError)
        has_cause = bad or any(self.declared.is_empty(self.objects[key]) for key in mine)
        assert is_known, self.told(f"expected another error than {failure!r}")
        assert has_cause, self.told(f"expected no error, found {failure!r}")
        after = self.rows()
        for key in bad:
            assert after.get(key) == before.get(key), self.told(f"expected {key} to keep its rows")
            self.put(key, [one for one in self.objects[key] if self.declared.row_of(one)])
        if not bad:
            self.run(month, force=True)

    def try_run(self, month: str, *, force: bool = False, until: str = "end") -> TallyError | None:
        """Run one month, and return its error."""
        try:
            self.run(month, force=force, until=until)
        except TallyError as error:
            self.log.append(f"{month}: {type(error).__name__}: {error}")
            return error
        return None

    def told(self, finding: str) -> str:
        return "\n".join([finding, *self.log])

    def rows(self) -> dict[str, Counter[Row]]:
        """The rows of the facts, by object."""
        found: dict[str, Counter[Row]] = {}
        note = "note" if self.declared.has_note else "NULL"
        query = f"SELECT source_uri, month, line_number, code, amount, {note} FROM raw.facts_ingested"
        for uri, *row in self.query(query):
            found.setdefault(self.key_of(uri), Counter())[tuple(row)] += 1
        return found

    def key_of(self, uri: str) -> str:
        return uri.removeprefix(lake().uri(""))

    def query(self, text: str) -> list[Row]:
        with connection() as warehouse:
            return warehouse.execute(text.encode()).fetchall()

    def compare(self) -> None:
        """Compare every table and the ledger with the oracle."""
        wanted = expected(self.declared, self.objects, self.names, self.newest_names)
        found = Expected(
            Counter({(row[0], key, *row[1:]): n for key, rows in self.rows().items() for row, n in rows.items()}),
            Counter(
                (self.key_of(uri), line, bytes(raw).decode())
                for uri, line, raw in self.query(
                    "SELECT source_uri, line_number, raw FROM ledger.rejected_rows JOIN ledger.loads USING (load_id)"
                    " WHERE dataset = 'facts' AND status = 'loaded' AND resolved_by IS NULL"
                )
            ),
            {
                self.key_of(uri): tuple(row)
                for uri, *row in self.query(
                    "SELECT source_uri, min(partition), sum(rows_read) FILTER (WHERE replay_of IS NULL)::int,"
                    " sum(rows_loaded)::int, (sum(rows_rejected) - coalesce(sum(rows_loaded) FILTER"
                    " (WHERE replay_of IS NOT NULL), 0))::int FROM ledger.loads"
                    " WHERE dataset = 'facts' AND status = 'loaded' GROUP BY 1"
                )
            },
            Counter(self.query("SELECT code, name FROM raw.names")),
            {name: Counter(self.query(query)) for name, query in QUERIES.items()},
        )
        for name in ("facts", "rejected", "counts", "names", "tables"):
            assert getattr(found, name) == getattr(wanted, name), self.told(name)


def _parameters(month: str) -> dict[str, Any]:
    return {"month": partition_value(month)}


def _nothing(month: str, force: bool = False) -> None:
    """The steps are in `Operator.run`."""
