"""Check a new pipeline: `make check`, its SQL cases, its test, and the plan of its first load."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deployments.local.embedded import STACK_VARIABLE
from deployments.local.postgres_server import Postgres
from deployments.local.s3_service import REGION, AccessKey, S3Server, client, create_bucket
from deployments.scaffold.pipeline import NewPipeline
from deployments.scaffold.project import ROOT
from tasks.engine.samples.files import SampleFile

BUCKET = "lake"
MOST_OUTPUT = 4_000
"""Number of characters of a failed command's output that are shown."""


@dataclass(frozen=True)
class _Services:
    """The environments of commands that use a temporary Postgres and a temporary S3 server.

    Attributes:
        tests: For tests, which create databases and buckets.
        plan: For the plan. The lake holds the sample: it is the temporary lake if the sample is a local file.
    """

    tests: Mapping[str, str]
    plan: Mapping[str, str]


def run_checks(p: NewPipeline, file: SampleFile, root: Path = ROOT) -> list[str]:
    """Run the checks and the tests of a new pipeline, and print the plan of its load.

    Returns:
        The commands that failed.
    """
    own = ["tests/sql_cases", f"tests/integration/test_{p.flow}.py"]
    rules = ["test_docs", "test_structure"]
    # Of the lint of SQL files, the tests of this pipeline's tables run.
    tests = [*own, *(f"tests/unit/{name}.py" for name in [*rules, "test_sql_files_lint"])]
    python = [sys.executable, "-m"]
    partition = [p.example] if p.unit else []
    with _services(p, file) as services:
        commands = [
            (["make", "--no-print-directory", "dictionary"], os.environ),
            (["make", "--no-print-directory", "check"], os.environ),
            (
                [*python, "pytest", "-q", "-p", "no:cacheprovider", "-k", " or ".join([p.name, *rules]), *tests],
                services.tests,
            ),
        ]
        found = []
        for command, environment in commands:
            shown = " ".join(command).replace(f"{sys.executable} -m ", "").replace("--no-print-directory ", "")
            print(f"Running {shown} ...", flush=True)
            if not _ran(command, root, environment):
                found.append(shown)
        shown = f"make plan DATASET={p.name}{''.join(f' PARTITION={value}' for value in partition)}"
        print(f"Running {shown} ...", flush=True)
        plan = [*python, "deployments.plan", p.name, *partition]
        if not _ran(plan, root, services.plan, is_shown=True):
            found.append(shown)
    return found


def _ran(command: list[str], root: Path, environment: Mapping[str, str], *, is_shown: bool = False) -> bool:
    """Run a command, and print its output if it fails."""
    done = subprocess.run(command, cwd=root, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode or is_shown:
        text = done.stdout + done.stderr
        print(text.partition("The DDL step would")[0] if is_shown else text[-MOST_OUTPUT:])
    return done.returncode == 0


@contextmanager
def _services(p: NewPipeline, file: SampleFile) -> Iterator[_Services]:
    with tempfile.TemporaryDirectory(prefix="tally-scaffold-") as folder:
        Path(folder).chmod(0o711)  # the unprivileged account of Postgres enters the folder
        postgres, server = Postgres(Path(folder) / "postgres", is_durable=False), S3Server(Path(folder) / "s3")
        postgres.start()
        try:
            server.start()
            lake = _variables_of(server.endpoint_url, server.administrator_key)
            # With the variable of the stack, tests ignore the services that the other variables name.
            not_for_tests = {STACK_VARIABLE, "AWS_SESSION_TOKEN"}
            others = {name: value for name, value in os.environ.items() if name not in not_for_tests}
            tests = others | lake | {"WAREHOUSE_DSN": postgres.administrator_dsn}
            plan = {**os.environ, "WAREHOUSE_DSN": postgres.dsn, "PREFECT_API_URL": "", STACK_VARIABLE: ""}
            if not file.bucket:
                s3 = client("s3", server.endpoint_url, server.administrator_key)
                create_bucket(s3, BUCKET)
                with file.opened() as opened:
                    s3.upload_fileobj(opened, BUCKET, p.object_key)
                plan |= lake | {"LAKE_BUCKET": BUCKET}
            yield _Services(tests, plan)
        finally:
            server.stop()
            postgres.stop("immediate")


def _variables_of(endpoint_url: str, key: AccessKey) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": key.key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret,
    }
