"""The services of a benchmark: a local Postgres, an S3 server and, where a case asks for it, a Prefect server."""

import json
import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import boto3
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmarks.processes import family_cpu_seconds, run
from deployments.local.embedded import Services, external, running

DATABASE = "bench"


@dataclass
class Bench:
    """The services, as cases use them.

    Attributes:
        folder: A folder for files. Postgres can read it.
        scale: The factor of all sizes.
        services: The running services.
        environment: The complete environment of the contestants: the variables of the services, `BENCH_FOLDER`, and
            the warehouse as a URI in `BENCH_URI`.
        variables: What `prepare` of the current case returned.
        ends: Closes what the current case started, such as workers.
        stack: Closes the services.
    """

    folder: Path
    scale: float
    services: Services
    environment: dict[str, str]
    stack: ExitStack
    variables: Mapping[str, str] = field(default_factory=dict)
    ends: ExitStack = field(default_factory=ExitStack)

    def scaled(self, size: int) -> int:
        """Return a size at the scale of this run."""
        return max(1, round(size * self.scale))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query in the warehouse."""
        with self._connection() as connection:
            return connection.execute(query.encode()).fetchall()

    def run_step(self, function: Callable[[], None], variables: Mapping[str, str]) -> None:
        """Run a function of a case's module in a process of its own, to prepare a case."""
        self.run_python("-m", "benchmarks.step", function.__module__, function.__name__, variables=variables)

    def run_python(self, *words: str, variables: Mapping[str, str] = MappingProxyType({})) -> None:
        """Run Python with some arguments, to prepare a case.

        Raises:
            SystemExit: The program failed.
        """
        run([sys.executable, *words], {**self.environment, **variables})

    def execute(self, *statements: str) -> None:
        """Execute statements in the warehouse, each in its own transaction."""
        with self._connection() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def _connection(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.environment["WAREHOUSE_DSN"], autocommit=True)

    def create_tables(self, contracts: Sequence[Any], schemas: Sequence[str]) -> None:
        """Create the staging tables of contracts, and the tables of schemas, as a flow does."""
        from tasks.engine.schema.ddl import apply_ddl
        from tasks.engine.settings import read_warehouse
        from tasks.engine.warehouse.tables import connect

        with connect(read_warehouse(self.environment, dict), "bench") as connection:
            apply_ddl(connection, contracts, schemas)

    def digest(self, table: str, *without: str) -> tuple[Any, ...]:
        """Return the number of rows of a table, and a digest of them in any order, without some columns."""
        dropped = "{" + ",".join(("load_id", *without)) + "}"
        row = f"(to_jsonb(t) - '{dropped}'::text[])::text"
        return self.rows(f"SELECT count(*), sum(hashtextextended({row}, 0)::numeric) FROM {table} AS t")[0]

    def put(self, file: Path, key: str) -> None:
        """Put a file into the lake."""
        self.s3.upload_file(str(file), self.environment["LAKE_BUCKET"], key)

    @cached_property
    def s3(self) -> Any:
        """A client of the lake."""
        variables = self.services.environment
        return boto3.Session().client(
            "s3",
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name=variables["AWS_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )

    def empty(self) -> None:
        """Replace the warehouse by an empty database."""
        owner = str(conninfo_to_dict(self.environment["WAREHOUSE_DSN"])["user"])
        self.remove()
        with psycopg.connect(self.services.administration["WAREHOUSE_DSN"], autocommit=True) as connection:
            statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0")
            connection.execute(statement.format(sql.Identifier(DATABASE), sql.Identifier(owner)))

    def remove(self) -> None:
        """Remove the warehouse."""
        with psycopg.connect(self.services.administration["WAREHOUSE_DSN"], autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(DATABASE)))

    def settle(self) -> None:
        """Write the pages of the previous run to disk, so that no later run pays for it."""
        with psycopg.connect(self.services.administration["WAREHOUSE_DSN"], autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    def server_cpu(self) -> float:
        """Return the CPU seconds of all processes of Postgres so far."""
        postgres = self.services.postgres
        return family_cpu_seconds(postgres.process_id) if postgres and postgres.process_id else 0.0

    def s3_cpu(self) -> float:
        """Return the CPU seconds of the local S3 server so far."""
        s3 = self.services.s3
        return family_cpu_seconds(s3.process_id) if s3 and s3.process_id else 0.0

    def prefect(self) -> str:
        """Start a Prefect server, once for all cases, and return the URL of its API."""
        if "PREFECT_API_URL" not in self.environment:
            from deployments.local.prefect_services import client_environment, prefect_server

            folder = self.folder / "prefect"
            url = self.stack.enter_context(prefect_server(folder, has_ui=False))
            self.environment |= client_environment(folder, url)
        return self.environment["PREFECT_API_URL"]

    def flow_run(self, entrypoint: str, parameters: dict[str, Any]) -> str:
        """Create a flow run of a deployed flow, and return its id. `python -m prefect.engine` executes it."""
        name = entrypoint.rpartition(".")[2].replace("_", "-")
        with suppress(urllib.error.HTTPError):  # the first run has already created the limit
            self._post("v2/concurrency_limits/", {"name": "warehouse", "limit": 1})
        flow = self._post("flows/", {"name": name})
        wanted = {"name": "bench", "flow_id": flow["id"], "entrypoint": entrypoint, "path": "."}
        deployment = self._post("deployments/", wanted)
        created = self._post(f"deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})
        return str(created["id"])

    def check_flow_run(self, run: str) -> None:
        """Check that a run completed: the process of a failed run ends with status 0.

        Raises:
            SystemExit: The run has another state.
        """
        state = self._post("flow_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})[0]["state"]
        if state["type"] != "COMPLETED":
            raise SystemExit(f"expected flow run {run} to complete, found {state['name']}: {state['message']}")

    def _post(self, path: str, content: dict[str, Any]) -> Any:
        request = urllib.request.Request(  # noqa: S310 - a local server
            f"{self.prefect()}/{path}", json.dumps(content).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - a local server
            return json.load(answer)


@contextmanager
def running_bench(scale: float = 1.0) -> Iterator[Bench]:
    """Start Postgres and S3 in a temporary folder.

    Raises:
        SystemExit: The environment names external services. A benchmark measures the server's processes.
    """
    if external("WAREHOUSE_DSN") or external("AWS_ENDPOINT_URL"):
        raise SystemExit(
            "expected local services, found external ones in the environment: unset WAREHOUSE_DSN and AWS_ENDPOINT_URL"
        )
    folder = Path(tempfile.mkdtemp(prefix="tally-bench-"))
    folder.chmod(0o711)
    try:
        with ExitStack() as stack:
            services = stack.enter_context(running(folder / "services"))
            yield bench_of(services, folder, scale, stack)
    finally:
        shutil.rmtree(folder)


def bench_of(services: Services, folder: Path, scale: float, stack: ExitStack) -> Bench:
    """Return the benchmark's view of running services. Its warehouse is a database of its own."""
    dsn = make_conninfo(services.environment["WAREHOUSE_DSN"], dbname=DATABASE)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    own = {"WAREHOUSE_DSN": dsn, "BENCH_URI": _uri(dsn), "BENCH_FOLDER": str(folder)}
    # An empty value lets Python keep its compiled modules, as it does by default.
    own["PYTHONDONTWRITEBYTECODE"] = ""
    return Bench(folder, scale, services, {**clean, **services.environment, **own}, stack)


def _uri(dsn: str) -> str:
    """Convert the DSN to a URI, because some tools accept no other format."""
    parts = {name: quote(str(value), safe="") for name, value in conninfo_to_dict(dsn).items()}
    return f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/{parts['dbname']}"
