"""Plain CSV needs neither polars nor Arrow: no flow but the profile imports them, nor does anything done to CSV."""

import os
import subprocess
import sys
from pathlib import Path

from sample_dataset import HEADER, put, ready_connection

FLOWS = sorted(path.stem for path in (Path(__file__).parents[2] / "flows").glob("[a-z]*.py"))
PROFILES = {flow for flow in FLOWS if flow.endswith("_profile")}
"""These flows count with polars, whatever the format."""

HEAVY = ("polars", "pyarrow", "pygal", "markdown_it", "prefect_aws", "prefect_docker", "prefect_sqlalchemy")
"""Modules that take a tenth of a second or ten MB."""

IMPORT = """
import importlib, sys
for flow in sys.argv[1].split():
    importlib.import_module("flows." + flow)
"""
USE = """
from tasks.engine.load import plan, rejections, replay
from tasks.engine.settings import RunSettings
from sample_dataset import THINGS, connection, lake, load, ref
source = ref()
with connection() as warehouse:
    print(plan.plan_loads(warehouse, lake(), THINGS, [source], RunSettings()).objects[0].action)
    receipt = load(warehouse, source)
    [rejected] = rejections.rejected_loads(warehouse, "things", None)
    print(receipt.rows_loaded, receipt.rows_rejected, replay.replay_load(warehouse, THINGS, rejected).rows_left)
"""
SHOW = f"""
print([name for name in {HEAVY} if name in sys.modules])
"""


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


def test_flows_plan_load_and_replay_csv_without_polars_and_arrow(database: str, bucket: str) -> None:
    del database, bucket
    assert {"backfill", "plan"} < set(FLOWS)
    put(HEADER + b"a,2021-04-01\nb,never\n")
    with ready_connection():
        # All flows in one process: what none of them imports here, none of them imports alone.
        lines = output(IMPORT + USE + SHOW, *(flow for flow in FLOWS if flow not in PROFILES))
    assert lines == ["load", "1 1 1", "[]"]


def test_import_of_polars_would_be_noticed() -> None:
    assert "'polars'" in output("import polars, sys\n" + SHOW)[0]
