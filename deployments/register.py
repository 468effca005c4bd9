"""Register the work pool, blocks, concurrency limit and automation on a Prefect server, and deploy the flows.

    python -m deployments.register                            register everything for a Docker work pool
    python -m deployments.register --deploy                   also build the image and deploy the flows of prefect.yaml
    python -m deployments.register --pool process --deploy    without Docker: the worker runs flows in processes

The command can be repeated. It updates existing objects or leaves them unchanged. It takes the values of the blocks
from the environment. `WAREHOUSE_DSN` and `AWS_ENDPOINT_URL` must be addresses that a *run* can reach. Inside a
container, these addresses may differ from the ones on this machine.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from docker.errors import APIError
from prefect.automations import AutomationCore, ChangeFlowRunState, EventTrigger, Posture
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import StateType
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.utilities.dockerutils import docker_client
from prefect.workers.base import BaseWorker

from deployments import lint
from deployments.blocks import save_blocks
from tasks.contracts import catalog
from tasks.engine.settings import RunSettings
from tasks.run_summary import FailedName, StateName

Pool = Literal["docker", "process"]

ROOT = Path(__file__).resolve().parents[1]
IMAGE_LABEL = "tally.image"
"""The label that the Dockerfile gives to the image."""

WAREHOUSE_SLOTS = 4
"""Initial slots of the global concurrency limit `warehouse`: how many loads and builds may run concurrently. An
administrator can change the limit on the server; registering again does not reset it."""

HEARTBEAT_TIMEOUT = timedelta(seconds=540)
"""A run counts as crashed after this time without a heartbeat: three heartbeats, which a run sends every 180 s."""

AUTOMATION = "Crash runs that stopped without a word"
_ALIVE = "prefect.flow-run.heartbeat"
# A run in one of these states sends no heartbeat.
_ENDED = (*get_args(StateName), *get_args(FailedName), "Cancelled", "Crashed")
_INACTIVE = (*_ENDED, "Scheduled", "AwaitingRetry", "Paused", "Suspended")


def register(pool: Pool, environ: Mapping[str, str]) -> list[str]:
    """Create or update all objects that the deployments refer to, on the configured Prefect server.

    Args:
        pool: The type of the work pool.
        environ: The environment that contains the values of the blocks and the settings of runs.

    Returns:
        One line for each object, with the action taken.

    Raises:
        SystemExit: No server is configured.
    """
    if not get_current_settings().api.url:
        raise SystemExit(
            "expected the URL of a Prefect server in PREFECT_API_URL (or the Prefect profile), found none. "
            "Start one (`make up`, or `prefect server start`) and export PREFECT_API_URL=http://127.0.0.1:4200/api."
        )
    with get_client(sync_client=True) as client:
        return [
            _ensure_work_pool(client, pool, environ),
            *save_blocks(environ),
            _ensure_limit(client),
            _ensure_automation(client),
        ]


def deploy(pool: Pool, environ: Mapping[str, str]) -> None:
    """Deploy everything in prefect.yaml to a work pool, and verify the result on the server.

    Args:
        pool: `docker` builds the image and deploys the file unchanged; `process` deploys the flows without an image.
        environ: The environment for the templates in the file.

    Raises:
        SystemExit: The file has errors, Prefect rejected the file, or a deployment is missing on the server.
    """
    config = lint.load(ROOT / "prefect.yaml")
    if errors := lint.errors(config, root=ROOT, environ=environ):
        raise SystemExit("\n".join(["prefect.yaml cannot be deployed:", *errors]))
    with tempfile.TemporaryDirectory() as folder:
        file = ROOT / "prefect.yaml"
        if pool != "docker":
            file = Path(folder) / "prefect.yaml"
            file.write_text(yaml.safe_dump(onto_pool(config, pool), sort_keys=False))
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
        code = subprocess.run(command, cwd=ROOT, env=dict(environ), check=False).returncode
    if code:
        raise SystemExit(f"prefect deploy failed with exit code {code}: see its last lines above for the reason.")
    # Prefect skips a deployment that it cannot read, with a warning and exit code 0.
    with get_client(sync_client=True) as client:
        for deployment in config["deployments"]:
            name = f"{lint.flow_of(deployment).name}/{deployment['name']}"
            found = client.read_deployment_by_name(name)
            if found.work_pool_name != lint.POOLS[pool]:
                raise SystemExit(
                    f"expected deployment {name} on work pool {lint.POOLS[pool]}, found it on {found.work_pool_name}: "
                    "deploy again, and check that no other process deploys to this server."
                )
    if pool == "docker":
        remove_untagged_images()


def remove_untagged_images() -> None:
    """Remove the untagged images of this project from the Docker Engine.

    A build moves the tag to the new image and leaves the replaced image without a tag. Docker keeps an image that a
    container still uses; the next deployment removes that image.
    """
    with docker_client() as engine:
        try:
            engine.images.prune({"dangling": True, "label": IMAGE_LABEL})
        except APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:  # otherwise, another process is removing images now
                raise


def onto_pool(config: Mapping[str, Any], pool: Pool) -> dict[str, Any]:
    """Return the deployments for another type of pool, without the image and without unsupported job variables."""
    known = lint.job_variables(pool)
    moved = {key: value for key, value in config.items() if key not in ("definitions", "build", "push")}
    # A process worker runs on this machine and uses this copy of the code.
    moved["pull"] = [{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}]
    moved["deployments"] = []
    for deployment in config["deployments"]:
        variables = deployment["work_pool"].get("job_variables", {})
        work_pool = deployment["work_pool"] | {
            "name": lint.POOLS[pool],
            "job_variables": {name: value for name, value in variables.items() if name in known},
        }
        moved["deployments"].append(deployment | {"work_pool": work_pool})
    return moved


def job_template(pool: Pool, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the worker's base job template with the defaults of this installation.

    The defaults are the settings of `RunSettings` and of the pipelines that are set in `environ` and, for containers,
    `TALLY_NETWORKS` (names of Docker networks, separated by commas). The template must not contain secrets, because
    every user of the server can read it.
    """
    worker = BaseWorker.get_worker_class_from_type(pool)
    if worker is None:
        raise SystemExit(
            f"expected Prefect to support workers of type {pool}, found no such worker: install requirements.lock."
        )
    template = worker.get_default_base_job_template()
    variables = template["variables"]["properties"]
    names = [*(name.upper() for name in RunSettings.model_fields), *catalog.settings()]
    variables["env"]["default"] = {name: environ[name] for name in names if environ.get(name)}
    if pool == "docker":
        # Otherwise the container gets the worker's PREFECT_HOME, which the container's user cannot write to.
        variables["env"]["default"]["PREFECT_HOME"] = "/home/tally/.prefect"
    networks = [name.strip() for name in environ.get("TALLY_NETWORKS", "").split(",") if name.strip()]
    if pool == "docker" and networks:
        variables["networks"]["default"] = networks
    return template


def _ensure_work_pool(client: SyncPrefectClient, pool: Pool, environ: Mapping[str, str]) -> str:
    name, template = lint.POOLS[pool], job_template(pool, environ)
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type=pool, base_job_template=template))
        return f"work pool {name}: created"
    if found.type != pool:
        raise SystemExit(f"expected work pool {name} to have type {pool}, found {found.type}: delete or rename it.")
    client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))
    return f"work pool {name}: up to date"


def _ensure_limit(client: SyncPrefectClient) -> str:
    # If the limit did not exist, `concurrency("warehouse")` would not limit anything.
    try:
        found = client.read_global_concurrency_limit_by_name("warehouse")
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name="warehouse", limit=WAREHOUSE_SLOTS))
        return f"concurrency limit warehouse: created, {WAREHOUSE_SLOTS} slots"
    return f"concurrency limit warehouse: unchanged, {found.limit} slots"


def _ensure_automation(client: SyncPrefectClient) -> str:
    # If a host fails, the worker and the container end without a report. The run would stay in state Running.
    wanted = AutomationCore(
        name=AUTOMATION,
        description="Marks a flow run as Crashed after nine minutes without a heartbeat.",
        trigger=EventTrigger(
            after={_ALIVE},
            expect={_ALIVE, *(f"prefect.flow-run.{state}" for state in _INACTIVE)},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=HEARTBEAT_TIMEOUT,
        ),
        actions=[
            ChangeFlowRunState(
                name="Crashed",
                force=False,
                state=StateType.CRASHED,
                message=(
                    f"No heartbeat for {HEARTBEAT_TIMEOUT.seconds} s: the process or container of the run and its "
                    "worker have ended. Run the flow again."
                ),
            )
        ],
    )
    # The server would create a second automation with the same name.
    found = client.read_automations_by_name(AUTOMATION)
    if not found:
        client.create_automation(wanted)
        return f"automation {AUTOMATION!r}: created"
    # An update restarts the timers, and a run that crashed just before the update would never be detected. The
    # automation is therefore updated only if its definition has changed.
    if _definition(found[0]) != _definition(wanted):
        client.update_automation(found[0].id, wanted.model_copy(update={"enabled": found[0].enabled}))
    return f"automation {AUTOMATION!r}: up to date"


def _definition(automation: AutomationCore) -> dict[str, Any]:
    # The definition excludes ids and dates, which the server adds, and `enabled`, which an operator may change.
    return {
        "description": automation.description,
        "trigger": automation.trigger.model_dump(include=EventTrigger.model_fields.keys() - {"id"}),
        "actions": [action.model_dump() for action in automation.actions],
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m deployments.register", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pool", choices=get_args(Pool), default="docker", help="type of work pool (default: docker)")
    parser.add_argument("--deploy", action="store_true", help="also build the image and deploy all flows")
    arguments = parser.parse_args()
    for line in register(arguments.pool, os.environ):
        print(line)
    if arguments.deploy:
        deploy(arguments.pool, os.environ)


if __name__ == "__main__":
    main()
