"""Register the work pool, blocks, concurrency limit and automations on a Prefect server, and deploy the flows.

    python -m deployments.register                             register everything for a Docker work pool
    python -m deployments.register --deploy                    also build the image, deploy the flows of prefect.yaml
    python -m deployments.register --pool process --deploy     without Docker: the worker runs flows in processes
    python -m deployments.register --pool kubernetes --deploy  every run is a Kubernetes Job
    python -m deployments.register --pool ecs --deploy         every run is a task of Amazon ECS

The command can be repeated. It updates existing objects or leaves them unchanged. It takes the values of the blocks
from the environment. `WAREHOUSE_DSN` and `AWS_ENDPOINT_URL` must be addresses that a *run* can reach. Inside a
container, these addresses may differ from the ones on this machine.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from http import HTTPStatus
from pathlib import Path

import yaml
from docker.errors import APIError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.utilities.dockerutils import docker_client

from deployments import lint
from deployments.alerts import register_alerts
from deployments.automations import CRASH_SILENT_RUNS, ensure_automation
from deployments.blocks import save_blocks
from deployments.work_pools import POOLS, Pool, WorkPoolError, has_blocks, job_template, onto_pool
from tasks.doctor.pools import worker_advice

ROOT = Path(__file__).resolve().parents[1]
IMAGE_LABEL = "tally.image"
"""The label that the Dockerfile gives to the image."""

WAREHOUSE_SLOTS = 4
"""Initial slots of the global concurrency limit `warehouse`: how many loads and builds may run concurrently. An
administrator can change the limit on the server; registering again does not reset it."""


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
            *(save_blocks(environ) if has_blocks(pool) else ["blocks: none, runs take secrets by reference"]),
            _ensure_limit(client),
            ensure_automation(client, CRASH_SILENT_RUNS),
            *register_alerts(client, environ),
        ]


def deploy(pool: Pool, environ: Mapping[str, str], names: Collection[str] = ()) -> None:
    """Deploy everything in prefect.yaml to a work pool, and verify the result on the server.

    Args:
        pool: The type of the work pool. A process pool needs no image. The image of a Kubernetes or ECS pool is pushed
            to the registry in `TALLY_IMAGE`.
        environ: The environment for the templates in the file.
        names: Names of the only deployments to deploy; by default all.

    Raises:
        SystemExit: The file has errors, Prefect rejected the file, or a deployment is missing on the server.
    """
    config = lint.load(ROOT / "prefect.yaml")
    if names:
        config["deployments"] = [one for one in config["deployments"] if one["name"] in names]
    moved = onto_pool(config, pool, environ)
    if errors := [*lint.errors(config, root=ROOT, environ=environ), *lint.errors(moved, root=ROOT, environ=environ)]:
        raise SystemExit("\n".join(["prefect.yaml cannot be deployed:", *dict.fromkeys(errors)]))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prefect.yaml"
        file.write_text(yaml.safe_dump(moved, sort_keys=False))
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
        code = subprocess.run(command, cwd=ROOT, env=dict(environ), check=False).returncode
    if code:
        raise SystemExit(f"prefect deploy failed with exit code {code}: see its last lines above for the reason.")
    # Prefect skips a deployment that it cannot read, with a warning and exit code 0.
    with get_client(sync_client=True) as client:
        for deployment in config["deployments"]:
            name = f"{lint.flow_of(deployment).name}/{deployment['name']}"
            found = client.read_deployment_by_name(name)
            if found.work_pool_name != POOLS[pool]:
                raise SystemExit(
                    f"expected deployment {name} on work pool {POOLS[pool]}, found it on {found.work_pool_name}: "
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


def _ensure_work_pool(client: SyncPrefectClient, pool: Pool, environ: Mapping[str, str]) -> str:
    name, template = POOLS[pool], job_template(pool, environ)
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


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m deployments.register", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pool", choices=list(POOLS), default="docker", help="type of work pool (default: docker)")
    parser.add_argument("--deploy", action="store_true", help="also build the image and deploy all flows")
    arguments = parser.parse_args()
    try:
        for line in register(arguments.pool, os.environ):
            print(line)
        if arguments.deploy:
            deploy(arguments.pool, os.environ)
            with get_client(sync_client=True) as client:
                print(worker_advice(client, POOLS[arguments.pool]) or "Check the installation: make doctor")
    except WorkPoolError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
