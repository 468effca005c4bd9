"""`make demo`: run every pipeline that has a sample on generated data and check that every row is accounted for.

The demo starts Postgres, S3 and a Prefect server, unless `make up` or the environment provides them. It writes the
generated files to S3, runs the flows and compares their results with the generated data. The exit code is 0 only if
all counts agree.
"""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deployments.local.child_process import ServiceError
from deployments.local.embedded import running, state_folder
from deployments.local.prefect_services import client_environment, prefect_server
from deployments.local.stack import Stack
from deployments.samples.sample import ROWS, DemoResult, DemoRun, find_samples, provide

QUIET = {
    # The UI shows the logs of the runs. The demo prints its own summary.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR",
    "PREFECT_CLI_PROMPT": "false",
}


@contextmanager
def environment(home: Path) -> Iterator[dict[str, str]]:
    """Yield the variables that flows need: those of a running stack, else of services that end with the block."""
    stack = Stack(home)
    if stack.process_id and stack.environment_file.exists():
        words = shlex.split(stack.environment_file.read_text(), comments=True)
        yield dict(word.split("=", 1) for word in words if word != "export")
        return
    with ExitStack() as opened, ThreadPoolExecutor() as starters:
        server = starters.submit(opened.enter_context, prefect_server(home / "prefect"))
        services = opened.enter_context(running(home / "services"))
        variables = services.environment | provide(services, home / "services")
        yield variables | client_environment(home / "prefect", server.result())


def print_summary(results: Sequence[DemoResult], home: Path, seconds: float) -> None:
    """Print the total counts and the locations of the results."""
    from tasks.connections import run_settings  # noqa: PLC0415 - Prefect reads its settings when imported

    settings = run_settings()
    loads = [load for result in results for load in result.loads]
    fresh = [load for load in loads if load.status != "unchanged"]
    read, working = sum(load.rows_read for load in fresh), sum(load.seconds for load in fresh)
    exports = f"s3://{os.environ['LAKE_BUCKET']}/{settings.export_prefix}{settings.export_id}"
    is_up = bool(Stack(home).process_id)
    ui = os.environ["PREFECT_API_URL"].removesuffix("/api") if is_up else "`make up` shows them in the Prefect UI"
    print(
        f"\nRead {sum(x.rows_read for x in loads):,} rows = loaded {sum(x.rows_loaded for x in loads):,}"
        f" + rejected {sum(x.rows_rejected for x in loads):,} (see ledger.rejected_rows for line and reason)."
    )
    if fresh and working:
        print(f"Average speed of the loads: {read / working:,.0f} rows/s.")
    elif loads:
        print(f"An earlier demo has already loaded all files. To load them again, remove {home} and rerun the demo.")
    if names := [name for result in results for name in result.exports]:
        print(f"Exports: {exports}/ has {', '.join(names)}. manifest.json lists all files.")
    print(f"Runs, logs and reports: {ui}. Data: {home}. The demo took {seconds:.0f} s.")


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; return 0 only if all counts agree."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.samples.demo", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--rows", type=int, default=ROWS, help=f"rows of a large file (default {ROWS:,})")
    rows = parser.parse_args(arguments).rows
    started, home = time.monotonic(), state_folder()
    samples = find_samples()
    if not samples:
        print("No module of deployments/samples/ assigns SAMPLE: there is nothing to show.")
        return 0
    print("Starting Postgres, S3 and a Prefect server ...", flush=True)
    try:
        with environment(home) as found:
            os.environ.update(QUIET | found)
            results = [sample.run(DemoRun(home / "services", rows)) for sample in samples]
            print_summary(results, home, time.monotonic() - started)
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    differences = [difference for result in results for difference in result.differences]
    for difference in differences:
        print(f"DIFFERENCE: {difference}", file=sys.stderr)
    print(f"{len(differences)} counts do not agree." if differences else "All counts agree.")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
