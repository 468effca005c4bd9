"""A process imports what it uses: CSV and JSON need neither polars nor Arrow, S3 no boto3, an imported flow no S3."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sample_dataset import HEADER, put, ready_connection

FLOWS = sorted(path.stem for path in (Path(__file__).parents[2] / "flows").glob("[a-z]*.py"))
PROFILES = {flow for flow in FLOWS if flow.endswith("_profile")}
"""These flows count with polars, whatever the format."""

HEAVY = ("polars", "pyarrow", "pygal", "markdown_it", "prefect_aws", "prefect_docker", "prefect_sqlalchemy")
"""Modules that take a tenth of a second or ten MB."""

CLIENTS = ("boto3", "botocore", "urllib3", "iso4217")
"""Modules that the first use of a bucket, or of a table of currencies, imports."""

MOST_MB = 103
"""Memory of a process that imported a flow: 100 MB, of which Prefect takes 83, and some room."""

IMPORT = """
import importlib, sys
for flow in sys.argv[1].split():
    importlib.import_module("flows." + flow)
"""
FORKS = """
import json, os
for line in sys.stdin:
    environment, code = json.loads(line)
    child = os.fork()
    if not child:
        os.environ.update(environment)
        exec(code)
        sys.exit()
    print("status", os.waitpid(child, 0)[1], flush=True)
"""
"""Run each code that the input contains in a fork, which has the modules of this process."""

USE = """
from tasks.engine.load import plan, rejections, replay
from tasks.engine.settings import RunSettings
from sample_dataset import THINGS, connection, lake, load, ref
source = ref({key!r})
with connection() as warehouse:
    print(plan.plan_loads(warehouse, lake(), THINGS, [source], RunSettings()).objects[0].action)
    receipt = load(warehouse, source)
    [rejected] = rejections.rejected_loads(warehouse, "things", None)
    print(receipt.rows_loaded, receipt.rows_rejected, replay.replay_load(warehouse, THINGS, rejected).rows_left)
"""
SHOW = f"""
print([name for name in {HEAVY} if name in sys.modules])
"""


RECORDS = (b'{"name": "a", "day": "2021-04-01"}', b'{"name": "b", "day": "never"}')
OBJECTS = {
    "2021/04/things.csv": HEADER + b"a,2021-04-01\nb,never\n",
    "2021/04/things.json": b"[" + b", ".join(RECORDS) + b"]",
    "2021/04/things.ndjson": b"\n".join(RECORDS) + b"\n",
}


def output(code: str, *flows: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, " ".join(flows)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.splitlines()


Run = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def run_after_import() -> Iterator[Run]:
    """Run code in a fork of a process that has imported all flows, and return the lines that it prints.

    All flows are imported in one process: a module that no flow imports here, no flow imports alone.
    """
    command = [sys.executable, "-c", IMPORT + FORKS, " ".join(flow for flow in FLOWS if flow not in PROFILES)]
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, env=path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:

        def run(code: str) -> list[str]:
            assert process.stdin
            assert process.stdout
            print(json.dumps([dict(os.environ), code]), file=process.stdin)
            lines = [process.stdout.readline().rstrip("\n")]
            while lines[-1] and not lines[-1].startswith("status "):
                lines.append(process.stdout.readline().rstrip("\n"))
            assert lines.pop() == "status 0"
            return lines

        yield run
        assert process.stdin
        process.stdin.close()


@pytest.mark.parametrize(("key", "data"), OBJECTS.items())
def test_flows_plan_load_and_replay_without_polars_and_arrow(
    run_after_import: Run, database: str, bucket: str, key: str, data: bytes
) -> None:
    del database, bucket
    assert {"backfill", "plan"} < set(FLOWS)
    put(data, key)
    with ready_connection():
        lines = run_after_import("import sys\n" + USE.format(key=key) + SHOW)
    assert lines == ["load", "1 1 1", "[]"]


def test_import_of_flows_imports_no_client_of_s3(run_after_import: Run) -> None:
    assert run_after_import(f"import sys; print([name for name in {CLIENTS} if name in sys.modules])") == ["[]"]


def test_client_of_s3_imports_no_boto3() -> None:
    code = "from tasks.engine.lake.s3_clients import new_client; from tasks.engine.settings import LakeSettings"
    client = "new_client(LakeSettings(bucket='b', region='eu-west-1')).meta.service_model.service_name"
    show = "[name for name in ('boto3', 's3transfer') if name in sys.modules]"
    assert output(f"import sys; {code}; print({client}, {show})") == ["s3 []"]


@pytest.mark.parametrize("flow", ["events_monthly", "orders_daily", "totesys_sync"])
def test_import_of_a_flow_takes_little_more_memory_than_prefect(flow: str) -> None:
    """`VmHWM` is the peak of this program alone; `ru_maxrss` would include the process that started it."""
    peak = "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    [kilobytes] = output(IMPORT + peak, flow)
    assert int(kilobytes) / 1024 < MOST_MB


def test_import_of_polars_would_be_noticed() -> None:
    assert "'polars'" in output("import polars, sys\n" + SHOW)[0]
