"""Personal data of a sensitive dataset stays in the ledger and the tables: no log, state or artifact shows it."""

import gzip
import io
import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any
from uuid import UUID

import polars as pl
import prefect
import psycopg
import pytest
from prefect import State
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import TaskRun
from prefect.logging.handlers import APILogWorker
from prefect_session import recorded_task_runs, run_of
from sample_dataset import client

from flows.replay_rejected import replay_rejected
from tasks.contracts import Contract
from tasks.contracts.catalog import contracts
from tasks.contracts.types import BIGINT, BOOLEAN, DATE, INTEGER, ColumnType
from tasks.engine.receipts import ObjectRef
from tasks.load import load_object
from tasks.policy import step
from tasks.report import report_builds
from tasks.run_summary import Ended, with_summary
from tasks.transform import build_schemas

SECRET = "wanda.secret"
MAIL = f"{SECRET}@person.invalid"
PAGE = 200
SENSITIVE = {name: contract for name, contract in contracts().items() if contract.is_sensitive}
GOOD = {
    "uuid": "d24173d9-0c1e-4b1f-9d0a-1f6f2a3b4c5d",
    "timestamptz": "2021-04-01T10:00:00+00:00",
    "timestamp(3)": "2021-04-01 10:00:00.000",
    "inet": "192.0.2.1",
    "text[]": "['a']",
    "jsonb": "[]",
    **{kind.postgres: "1" for kind in (INTEGER, BIGINT)},
    BOOLEAN.postgres: "true",
    DATE.postgres: "2021-04-01",
}


def good(kind: ColumnType) -> str:
    return GOOD.get(kind.postgres, "1" if kind.postgres.startswith("numeric") else MAIL)


def record(contract: Contract) -> dict[str, str]:
    """A valid record that holds the secret in each sensitive text."""
    values: dict[str, str] = {}
    for column in contract.columns:
        if column.source_name in contract.sources:
            values.setdefault(column.source_name, good(column.type))
    return values


def csv_of(contract: Contract, *, header: bool = True) -> bytes:
    row = record(contract)
    lines = [",".join(f'"{value}"' for value in row.values())]
    broken = [f'"{MAIL}', f"{MAIL},{MAIL}", ",".join([MAIL] * len(row)), ",".join([MAIL] * (len(row) + 3))]
    return "\n".join([",".join(row)] * header + lines + broken).encode()


def lines_of(contract: Contract) -> bytes:
    row = record(contract)
    bad = [dict.fromkeys(row, MAIL), MAIL, [MAIL], row | {MAIL: MAIL}]
    return "\n".join([*map(json.dumps, [row, *bad]), f'{{"{MAIL}": ']).encode()


def document(records: list[object], key: str) -> bytes:
    return json.dumps({MAIL: MAIL, key: records} if key else records).encode()


def parquet_of(*rows: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(rows).write_parquet(buffer)
    return buffer.getvalue()


def malformed(contract: Contract) -> Iterator[tuple[str, bytes]]:
    """An object with malformed rows in each format, with its suffix."""
    row, key = record(contract), contract.records_key
    if contract.unknown_keys_column is None:
        yield ".csv", csv_of(contract)
        yield ".csv.gz", gzip.compress(csv_of(contract))
        yield ".parquet", parquet_of(row, dict.fromkeys(row, MAIL))
    yield ".ndjson", lines_of(contract)
    yield ".json", document([row, dict.fromkeys(row, MAIL), MAIL, row | {MAIL: MAIL}], key)


def unreadable(contract: Contract) -> Iterator[tuple[str, bytes]]:
    """Objects that no reader accepts, with their suffixes."""
    if contract.unknown_keys_column is None:
        yield ".csv", csv_of(contract, header=False)
        yield ".csv", f"{MAIL};{MAIL}\n".encode()
        yield ".parquet", parquet_of(dict.fromkeys([MAIL, f"{MAIL}2"], MAIL))
    yield ".ndjson", f"{MAIL}\n{MAIL}\n".encode()
    yield ".ndjson", json.dumps({MAIL: MAIL}).encode()
    yield ".json", document([{MAIL: MAIL}], contract.records_key)
    yield ".json", f'{{"{MAIL}": "{MAIL}"'.encode()
    yield ".json", f"{MAIL} {MAIL}".encode()
    yield ".json", f'{{"{MAIL}" "{MAIL}"}}'.encode()
    yield ".json", json.dumps({MAIL: []}).encode()


def texts_of(run: UUID, tasks: list[TaskRun]) -> Iterator[str]:
    """Everything that the server holds about a run and its tasks: states, logs and artifacts."""
    with prefect.get_client(sync_client=True) as client:
        states = [client.read_flow_run(run).state, *(task.state for task in tasks)]
        yield from (state.message or "" for state in states if state)
        logs = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
        for offset in count(0, PAGE):
            found = client.read_logs(log_filter=logs, limit=PAGE, offset=offset)
            assert found or offset, "expected log lines on the server"
            yield from (log.message for log in found)
            if len(found) < PAGE:
                break
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        yield from (
            f"{artifact.description} {artifact.data}" for artifact in client.read_artifacts(artifact_filter=wanted)
        )


def run_to_end(flow: Callable[..., Any], **parameters: Any) -> UUID:
    state = flow(**parameters, return_state=True)
    with prefect.get_client(sync_client=True) as server:
        return run_of(server, state).id


def assert_hidden(runs: dict[str, UUID]) -> None:
    """Check all runs of a test at once, because the server records the last task only after most of a second."""
    APILogWorker.drain_all(timeout=60)
    with prefect.get_client(sync_client=True) as server:
        tasks = recorded_task_runs(server, *runs.values())
    for case, run in runs.items():
        own = [task for task in tasks if task.flow_run_id == run]
        assert own, case
        shown = list(texts_of(run, own))
        assert shown
        assert [text for text in shown if SECRET in text] == [], case


@pytest.mark.ledger
@pytest.mark.usefixtures("prefect_logs", "database", "bucket")
@pytest.mark.parametrize("dataset", SENSITIVE)
def test_malformed_objects_show_no_personal_data_outside_of_the_ledger(
    dataset: str, monkeypatch: pytest.MonkeyPatch, bucket: str
) -> None:
    contract = SENSITIVE[dataset]
    partition = "" if contract.partition is None else {"month": "2021-04", "day": "2021-04-01"}[contract.partition.unit]
    ends = []

    def load(number: int, suffix: str, data: bytes) -> State[Any]:
        client().put_object(Bucket=bucket, Key=f"{number}{suffix}", Body=data)
        source = ObjectRef(f"s3://{bucket}/{number}{suffix}", "", len(data), partition)
        state: State[Any] = load_object(contract, source, return_state=True)
        ends.append(state.name)
        return state

    @prefect.flow(name="load-malformed")
    def load_all() -> None:
        build_schemas([contract], [])
        for number, (suffix, data) in enumerate(malformed(contract)):
            monkeypatch.setenv("MAX_REJECTED_ROWS", "0")
            load(number, suffix, data)
            monkeypatch.setenv("MAX_REJECTED_ROWS", "1000")
            report_builds("load-malformed", "Load", [load(number, suffix, data).result()], [])
        for number, (suffix, data) in enumerate(unreadable(contract), 100):
            load(number, suffix, data)

    runs = {dataset: run_to_end(load_all)}
    half = len(list(malformed(contract)))
    assert ends == ["Failed", "Completed"] * half + ["Failed"] * len(list(unreadable(contract)))
    if contract.partition:
        runs["replay"] = run_to_end(replay_rejected, dataset=dataset)
    assert_hidden(runs)


def insert(connection: psycopg.Connection[Any], statement: str) -> None:
    connection.execute("CREATE TEMP TABLE people (email varchar(40) NOT NULL PRIMARY KEY)")
    connection.execute(statement.format(MAIL).encode())


def copy(connection: psycopg.Connection[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE people (email text, age int)")
        with cursor.copy("COPY people FROM STDIN") as copying:
            copying.write(f"a\t{MAIL}\n")


@pytest.mark.usefixtures("prefect_logs")
def test_errors_of_postgres_show_no_values(database: str) -> None:
    statements = (
        "INSERT INTO people VALUES ('{0}'), ('{0}')",
        "INSERT INTO people VALUES ('{0} too long too long too long too long too long')",
        "SELECT '{0}'::int",
        "SELECT '{0}'::date",
        "SELECT '{{\"a\": {0}'::jsonb",
        "INSERT INTO people VALUES (NULL)",
        "DO $$BEGIN EXECUTE 'SELECT ''{0}''::int'; END$$",
    )
    wrong = {statement: partial(insert, statement=statement) for statement in statements} | {"COPY": copy}

    def failed_run(statement: Callable[[psycopg.Connection[Any]], None]) -> UUID:
        @step(task_run_name="load people")
        def load_people() -> None:
            with psycopg.connect(database) as connection:
                statement(connection)

        @prefect.flow(name="people")
        @with_summary
        def people() -> Ended[None]:
            load_people()
            return Ended(None, "loaded")

        return run_to_end(people)

    assert_hidden({case: failed_run(statement) for case, statement in wrong.items()})
