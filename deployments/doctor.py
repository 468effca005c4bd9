"""Check an installation from this machine, and say what to do: `make doctor`.

    python -m deployments.doctor          problems and warnings with their next steps, and the names of other checks
    python -m deployments.doctor --all    also what each passed check found

The command uses the same variables as the other commands. Without `PREFECT_API_URL`, it uses the services of `make up`.
It checks everything that the flow `doctor` checks, and also the image, the automations, and what a container reaches.
The exit status is 1 if a check found a problem, or could not run.
"""

import argparse
import contextlib
import logging
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from deployments.alerts import wanted_automations
from deployments.automations import definition_of
from deployments.container_probe import examine_containers
from deployments.local.embedded import state_folder
from tasks.doctor.automations import WantedAutomations
from tasks.doctor.clear_secrets import known_secrets
from tasks.doctor.installation import SERVER, examine_installation
from tasks.doctor.reach import AREA
from tasks.doctor.server import Server, wanted_config
from tasks.engine.doctor.outcomes import Result, guarded
from tasks.engine.doctor.report import has_failed, masked, terminal_text


def examine() -> list[Result]:
    """Run all checks: those of the flow, and those that only this machine can run."""
    wanted = WantedAutomations(lambda client: wanted_automations(client, os.environ), definition_of)
    results = examine_installation(wanted)
    if any((each.area, each.check, each.finding.outcome) == (SERVER, "reachable", "ok") for each in results):
        with get_client(sync_client=True) as client:
            found = guarded(AREA, lambda: examine_containers(Server(client, wanted_config())))
        results += masked(found, known_secrets())
    return results


@contextlib.contextmanager
def stack_variables(folder: Path) -> Iterator[None]:
    """Without a configured Prefect server, use the services of `make up`, if they are up."""
    file = folder / "env"
    if get_current_settings().api.url or not file.is_file():
        yield
        return
    for word in shlex.split(file.read_text(), comments=True):
        name, is_set, value = word.partition("=")
        if is_set:
            os.environ.setdefault(name, value)
    print(f"PREFECT_API_URL is not set. This command uses the services of `make up`: source {os.path.relpath(file)}")
    with temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}):
        yield


@contextlib.contextmanager
def silent_libraries() -> Iterator[None]:
    """Suppress the warnings that libraries log: the output of the command says the same in its own words."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(disabled)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; return 1 if a check found a problem or could not run."""
    parser = argparse.ArgumentParser(prog="python -m deployments.doctor", description="Check an installation.")
    parser.add_argument("--all", action="store_true", help="also print what each passed check found")
    asked = parser.parse_args(arguments)
    with silent_libraries(), stack_variables(state_folder()):
        results = examine()
    print(terminal_text(results, is_full=asked.all))
    if not asked.all:
        print("\nTo see what each check found: .venv/bin/python -m deployments.doctor --all")
    return 1 if has_failed(results) else 0


if __name__ == "__main__":
    sys.exit(main())
