"""Run a deployment and follow its log, with a warning if no worker is online that could start the run.

    python -m deployments.run events-monthly -p month=2021-04

All arguments after the name go to `prefect deployment run`.
"""

import os
import subprocess
import sys

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

from tasks.doctor.pools import worker_advice


def command_of(client: SyncPrefectClient, name: str) -> tuple[list[str], str]:
    """Return the command that runs a deployment, and what to do first if no worker of its pool is online.

    Raises:
        SystemExit: The server has no deployment with this name.
    """
    found = client.read_deployments(deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[name])))
    if not found:
        known = sorted(deployment.name for deployment in client.read_deployments())
        raise SystemExit(
            f"expected the name of a deployment: {', '.join(known) or 'none exists, run make deploy'}; found {name}"
        )
    flow = client.read_flow(found[0].flow_id).name
    warning = worker_advice(client, found[0].work_pool_name) if found[0].work_pool_name else ""
    return [sys.executable, "-m", "prefect", "deployment", "run", f"{flow}/{name}", "--watch"], warning


def main(arguments: list[str]) -> int:
    """Run the command line, and return the exit code of the run."""
    if not arguments or arguments[0].startswith("-"):
        print("usage: python -m deployments.run <deployment> [-p parameter=value ...]", file=sys.stderr)
        return 2
    with get_client(sync_client=True) as client:
        command, warning = command_of(client, arguments[0])
    if warning:
        print(warning, file=sys.stderr)
    return subprocess.run([*command, *arguments[1:]], env=os.environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
