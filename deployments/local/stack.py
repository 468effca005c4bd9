"""Run Postgres, S3, a Prefect server and a worker in the background.

`python -m deployments.local.stack up|down|status` controls them.

A supervisor process starts all services. When the supervisor ends, even if it is killed, the services end too. The
state folder (`TALLY_HOME`, by default `.tally` in the project) contains the data, the logs and the file `env`, which a
shell can source.
"""

import argparse
import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from deployments import yaml_text
from deployments.local.child_process import ServiceError, last_lines, owned_folder, owner_of
from deployments.local.embedded import STACK_VARIABLE, Services, running, state_folder
from deployments.local.postgres_server import write_private
from deployments.local.prefect_services import (
    PROJECT,
    answers,
    client_environment,
    prefect_server,
    without_prefect,
    worker,
)
from deployments.samples.sample import find_samples, provide

UI_PORT = 4200
START_TIMEOUT = 300.0
STOP_TIMEOUT = 90.0


class Stack:
    """The services of one state folder.

    Args:
        home: The state folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self.folder = self.home / "stack"
        self.logs = self.home / "log"
        self.environment_file = self.home / "env"
        self._report = self.folder / "report.json"

    @property
    def process_id(self) -> int | None:
        """The process id of the running supervisor, else None."""
        return owner_of(self.folder)

    def report(self) -> dict[str, Any]:
        """Return the last supervisor's report: `state` (starting, ready, stopped, failed) and the service addresses."""
        return dict(json.loads(self._report.read_text())) if self._report.exists() else {"state": "stopped"}

    def up(self, pool: str) -> None:
        """Start the supervisor in the background and wait until all services respond.

        Raises:
            ServiceError: A service did not start. All services are stopped.
        """
        for folder in (self.home, self.folder, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        log = self.logs / "stack.log"
        with log.open("wb") as output:
            supervisor = subprocess.Popen(
                [sys.executable, "-m", "deployments.local.stack", "supervise", "--pool", pool],
                cwd=PROJECT,
                env=os.environ | {"TALLY_HOME": str(self.home)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while self.report() | {"process": supervisor.pid, "state": "ready"} != self.report():
            if supervisor.poll() is not None:
                raise ServiceError(f"the stack did not start. The end of {log}:\n{last_lines(log)}")
            if time.monotonic() > deadline:
                self.down()
                raise ServiceError(
                    f"the stack was not ready after {START_TIMEOUT:.0f} s and was stopped: see the logs in {self.logs}"
                )
            time.sleep(0.2)

    def down(self) -> bool:
        """Stop all services; return False if no supervisor was running.

        Raises:
            ServiceError: The supervisor or a service still runs after `STOP_TIMEOUT` seconds.
        """
        if not (process := self.process_id):
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT
        while self.process_id:
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"process {process} did not stop within {STOP_TIMEOUT:.0f} s: see the logs in {self.logs}, "
                    "or kill the process"
                )
            time.sleep(0.1)
        return True

    def supervise(self, pool: str) -> None:
        """Run all services until SIGTERM arrives or a service ends by itself."""
        signal.signal(signal.SIGTERM, _exit)
        signal.signal(signal.SIGINT, _exit)
        with owned_folder(self.folder):
            self._write_report(state="starting")
            try:
                self._serve(pool)
            except SystemExit:
                self._write_report(state="stopped")
                raise
            except BaseException as error:
                self._write_report(state="failed", error=str(error))
                raise
            finally:
                self.environment_file.unlink(missing_ok=True)

    def _serve(self, pool: str) -> None:
        with contextlib.ExitStack() as stack:
            # Postgres and S3 start first: they need only a second, and the worker needs their addresses.
            services = stack.enter_context(running(self.home / "services", log_folder=self.logs))
            variables = services.environment | provide(services, self.home / "services")
            api_url = stack.enter_context(prefect_server(self.home / "prefect", port=UI_PORT, log_folder=self.logs))
            environment = without_prefect(os.environ) | variables
            environment |= client_environment(self.home / "prefect", api_url)
            self._register(pool, environment)
            log = self.logs / "prefect-worker.log"
            worker_process = stack.enter_context(worker(f"tally-{pool}", pool, environment=environment, log=log))
            self._write_environment(variables | {"PREFECT_API_URL": api_url, STACK_VARIABLE: str(self.home)})
            self._write_report(
                state="ready",
                ui=api_url.removesuffix("/api"),
                api=api_url,
                postgres=_address(services),
                s3=f"{services.environment['AWS_ENDPOINT_URL']}, bucket {services.environment['LAKE_BUCKET']}",
                worker=f"pool tally-{pool}, process {worker_process}",
            )
            _wait_until_a_service_ends()

    def _register(self, pool: str, environment: Mapping[str, str]) -> None:
        log = self.logs / "register.log"
        command = [sys.executable, "-m", "deployments.register", "--pool", pool, "--deploy"]
        with log.open("wb") as output:
            done = subprocess.run(
                command, cwd=PROJECT, env=dict(environment), stdout=output, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode:
            raise ServiceError(f"registering the deployments failed. The end of {log}:\n{last_lines(log)}")

    def _write_environment(self, environment: Mapping[str, str]) -> None:
        lines = (f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
        write_private(self.environment_file, "".join(lines))

    def _write_report(self, **facts: str) -> None:
        write_private(self._report, json.dumps({"process": os.getpid(), **facts}))


def _exit(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second signal must not interrupt the shutdown
    raise SystemExit(0)


def _wait_until_a_service_ends() -> None:
    """Block until a service ends, and then raise ServiceError."""
    while True:
        time.sleep(1)
        # WNOWAIT leaves the exit status for the Popen object of the child.
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None:
            raise ServiceError(
                f"service process {ended.si_pid} ended with status {ended.si_status}, so all services were stopped: "
                "see the logs"
            )


def _address(services: Services) -> str:
    parts = conninfo_to_dict(services.environment["WAREHOUSE_DSN"])
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}, database {parts.get('dbname', '')}"


def _check_docker() -> None:
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:  # noqa: S607
        return
    raise ServiceError(
        "expected a Docker Engine that responds to `docker info`, found none: start Docker, or omit --pool docker"
    )


def _print_status(stack: Stack) -> bool:
    report = stack.report()
    if not stack.process_id:
        print("Tally is down." if report["state"] != "failed" else f"Tally is down: {report.get('error')}")
        return False
    if report["state"] != "ready":
        print(f"Tally is {report['state']} (process {stack.process_id}); logs in {stack.logs}")
        return False
    source = os.path.relpath(stack.environment_file)
    print(f"Tally is up (process {stack.process_id}).")
    print(f"  Prefect UI  {report['ui']}" + ("" if answers(report["api"]) else "  does not respond!"))
    for name, label in (("postgres", "Postgres"), ("s3", "S3"), ("worker", "worker")):
        print(f"  {label:<10}  {report[name]}")
    print(f"  logs        {os.path.relpath(stack.logs)}")
    prefect = os.path.relpath(Path(sys.executable).with_name("prefect"))
    print(f"Connect:      source {source}")
    if find_samples():
        print("Sample files: make demo  (the lake is empty at first)")
    for command in _first_runs():
        print(f"Run:          {prefect} deployment run {command} --watch")
    print(f"All flows:    {prefect} deployment ls")
    print('Query:        psql "$WAREHOUSE_DSN"')
    print("Stop:         make down")
    return True


def _first_runs() -> Iterator[str]:
    """Arguments of `prefect deployment run` for the pipelines: those of the samples, else the project's own."""
    samples = [sample.command for sample in find_samples()]
    config = yaml_text.parsed((PROJECT / "prefect.yaml").read_text(encoding="utf-8"))
    for deployment in config["deployments"] or []:
        flow = str(deployment["entrypoint"]).rpartition(".")[2].replace("_", "-")
        name = f"{flow}/{deployment['name']}"
        if "operations" not in (deployment.get("tags") or []):
            yield next((command for command in samples if command.split()[0] == name), name)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 1 if a command fails or the stack is not ready."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.local.stack",
        description="Run Postgres, S3, a Prefect server and a worker in the background.",
    )
    parser.add_argument(
        "command",
        choices=["up", "down", "status", "supervise"],
        metavar="up|down|status",
        help="start the services, stop them, or print their addresses",
    )
    parser.add_argument(
        "--pool",
        choices=["process", "docker"],
        default="process",
        help="run flows in processes or in Docker containers (for up; default: process)",
    )
    asked = parser.parse_args(arguments)
    stack = Stack(state_folder())
    try:
        if asked.command == "supervise":
            stack.supervise(asked.pool)
        elif asked.command == "down":
            print("Tally is down." if stack.down() else "Tally was not up.")
        elif asked.command == "up":
            if stack.process_id:
                print("Already up: ", end="")
            else:
                if asked.pool == "docker":
                    _check_docker()
                print("Starting Postgres, S3, a Prefect server and a worker (about half a minute) ...", flush=True)
                stack.up(asked.pool)
            return 0 if _print_status(stack) else 1
        else:
            return 0 if _print_status(stack) else 1
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
