"""Check a new pipeline: `make check`, its SQL cases, its test, and the plan of its first load."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deployments.local.embedded import STACK_VARIABLE
from deployments.local.postgres_server import Postgres
from deployments.local.s3_service import REGION, S3Server, client, create_bucket
from deployments.scaffold.pipeline import NewPipeline
from deployments.scaffold.project import ROOT
from tasks.engine.samples.files import SampleFile

BUCKET = "lake"
MOST_OUTPUT = 4_000
"""Number of characters of a failed command's output that are shown."""


def run_checks(p: NewPipeline, file: SampleFile, root: Path = ROOT) -> list[str]:
    """Run the checks and the tests of a new pipeline, and print the plan of its load.

    Returns:
        The commands that failed.
    """
    own = ["tests/sql_cases", f"tests/integration/test_{p.flow}.py"]
    rules = ["test_docs", "test_structure"]
    tests = [*own, *(f"tests/unit/{name}.py" for name in rules)]
    python = [sys.executable, "-m"]
    commands = [
        ["make", "--no-print-directory", "dictionary"],
        ["make", "--no-print-directory", "check"],
        [*python, "pytest", "-q", "-p", "no:cacheprovider", "-k", " or ".join([p.name, *rules]), *tests],
    ]
    found = []
    for command in commands:
        shown = " ".join(command).replace(f"{sys.executable} -m ", "").replace("--no-print-directory ", "")
        print(f"Running {shown} ...", flush=True)
        if not _ran(command, root, {}):
            found.append(shown)
    with _lake(p, file) as variables:
        plan = [*python, "deployments.plan", p.name, *([p.example] if p.unit else [])]
        shown = f"make plan DATASET={p.name}{f' PARTITION={p.example}' if p.unit else ''}"
        print(f"Running {shown} ...", flush=True)
        if not _ran(plan, root, variables, is_shown=True):
            found.append(shown)
    return found


def _ran(command: list[str], root: Path, variables: Mapping[str, str], *, is_shown: bool = False) -> bool:
    """Run a command, and print its output if it fails."""
    done = subprocess.run(
        command, cwd=root, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    if done.returncode or is_shown:
        text = done.stdout + done.stderr
        print(text.partition("The DDL step would")[0] if is_shown else text[-MOST_OUTPUT:])
    return done.returncode == 0


@contextmanager
def _lake(p: NewPipeline, file: SampleFile) -> Iterator[dict[str, str]]:
    """A temporary warehouse, and a lake with the sample: a temporary one for a local file."""
    with tempfile.TemporaryDirectory(prefix="tally-scaffold-") as folder:
        Path(folder).chmod(0o711)  # the unprivileged account of Postgres enters the folder
        postgres = Postgres(Path(folder) / "postgres", is_durable=False)
        postgres.start()
        variables = {"WAREHOUSE_DSN": postgres.dsn, "PREFECT_API_URL": "", STACK_VARIABLE: ""}
        server = None if file.bucket else S3Server(Path(folder) / "s3")
        try:
            if server:
                server.start()
                s3 = client("s3", server.endpoint_url, server.administrator_key)
                create_bucket(s3, BUCKET)
                with file.opened() as opened:
                    s3.upload_fileobj(opened, BUCKET, p.object_key)
                key = server.administrator_key
                variables |= {"LAKE_BUCKET": BUCKET, "AWS_ENDPOINT_URL": server.endpoint_url, "AWS_REGION": REGION}
                variables |= {"AWS_ACCESS_KEY_ID": key.key_id, "AWS_SECRET_ACCESS_KEY": key.secret}
            yield variables
        finally:
            if server:
                server.stop()
            postgres.stop("immediate")
