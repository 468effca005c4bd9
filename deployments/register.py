"""Tell a Prefect server what the flows need: work pool, blocks, concurrency limit, automation; and deploy them.

    python -m deployments.register                            Docker work pool
    python -m deployments.register --deploy                   the same, then every deployment of prefect.yaml
    python -m deployments.register --pool process --deploy    without Docker: no image, runs are processes of the worker

Any number of times: what exists is brought up to date or left as it is. The blocks are written from the environment,
so `WAREHOUSE_DSN` and `AWS_ENDPOINT_URL` must be what a *run* reaches, which inside a container is not always what this
machine calls it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from prefect.automations import AutomationCore, ChangeFlowRunState, EventTrigger, Posture
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import StateType
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.workers.base import BaseWorker
from prefect_aws import AwsCredentials, AwsSecret, S3Bucket
from prefect_aws.client_parameters import AwsClientParameters
from prefect_sqlalchemy import ConnectionComponents, SqlAlchemyConnector
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from deployments import lint
from tasks.engine.settings import RunSettings

Pool = Literal["docker", "process"]

ROOT = Path(__file__).resolve().parents[1]
WAREHOUSE_SLOTS = 4
"""Slots of the global concurrency limit `warehouse`: loads and builds that the database carries at once. A first value:
whoever knows the database changes it on the server, and it stays."""

SILENCE = timedelta(seconds=540)
"""Without a heartbeat for this long a run counts as dead. Runs send one every 180 s: three in a row are missing."""

AUTOMATION = "Crash runs that stopped without a word"
_ALIVE = "prefect.flow-run.heartbeat"
# A run in one of these states sends no heartbeat, and is none the worse for it.
_AT_REST = ("Completed", "Failed", "Cancelled", "Crashed", "Scheduled", "AwaitingRetry", "Paused", "Suspended")


def register(pool: Pool, environ: Mapping[str, str]) -> list[str]:
    """Create or update everything that the deployments refer to on the server that Prefect's settings name.

    Args:
        pool: Which kind of work pool to have.
        environ: Where the blocks' values and the settings of runs come from.

    Returns:
        One line for each thing, saying what was done.

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
            _have_work_pool(client, pool, environ),
            _have_warehouse(environ),
            _have_lake(environ),
            _have_totesys(environ),
            _have_limit(client),
            _have_automation(client),
        ]


def deploy(pool: Pool, environ: Mapping[str, str]) -> None:
    """Deploy everything in prefect.yaml onto a pool, and see that it arrived.

    Args:
        pool: `docker` deploys the file as it stands, image included; `process` the same deployments without the image.
        environ: The environment that the file's templates are filled from.

    Raises:
        SystemExit: The file has faults, Prefect refused it, or a deployment is not on the server afterwards.
    """
    config = lint.load(ROOT / "prefect.yaml")
    if faults := lint.faults(config, root=ROOT, environ=environ):
        raise SystemExit("\n".join(["prefect.yaml cannot be deployed:", *faults]))
    with tempfile.TemporaryDirectory() as folder:
        file = ROOT / "prefect.yaml"
        if pool != "docker":
            file = Path(folder) / "prefect.yaml"
            file.write_text(yaml.safe_dump(onto_pool(config, pool), sort_keys=False))
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
        code = subprocess.run(command, cwd=ROOT, env=dict(environ), check=False).returncode
    if code:
        raise SystemExit(f"prefect deploy ended with exit code {code}; its last lines above say why.")
    # Prefect skips what it cannot read, with a warning and exit code 0.
    with get_client(sync_client=True) as client:
        for deployment in config["deployments"]:
            name = f"{lint.flow_of(deployment).name}/{deployment['name']}"
            found = client.read_deployment_by_name(name)
            if found.work_pool_name != lint.POOLS[pool]:
                raise SystemExit(f"expected {name} on pool {lint.POOLS[pool]}, found it on {found.work_pool_name}.")


def onto_pool(config: Mapping[str, Any], pool: Pool) -> dict[str, Any]:
    """The same deployments for another kind of pool, without the image and the job variables that it does not know."""
    known = lint.job_variables(pool)
    moved = {key: value for key, value in config.items() if key not in ("definitions", "build", "push")}
    # The code is not in an image but where this file is: a process worker runs on the machine that deploys.
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
    """The worker's own base job template, with what this installation gives to each run as its defaults.

    Those are the settings of `RunSettings` that are set in `environ` and, for containers, `TALLY_NETWORKS` (names of
    Docker networks, separated by commas). Neither is a secret: everyone who sees the server can read a template.
    """
    worker = BaseWorker.get_worker_class_from_type(pool)
    if worker is None:
        raise SystemExit(f"expected Prefect to know workers of type {pool}, found none: install requirements.lock.")
    template = worker.get_default_base_job_template()
    variables = template["variables"]["properties"]
    names = (name.upper() for name in RunSettings.model_fields)
    variables["env"]["default"] = {name: environ[name] for name in names if environ.get(name)}
    if pool == "docker":
        # The worker hands its own PREFECT_HOME on to the container, where that folder belongs to somebody else.
        variables["env"]["default"]["PREFECT_HOME"] = "/home/tally/.prefect"
    networks = [name.strip() for name in environ.get("TALLY_NETWORKS", "").split(",") if name.strip()]
    if pool == "docker" and networks:
        variables["networks"]["default"] = networks
    return template


def _have_work_pool(client: SyncPrefectClient, pool: Pool, environ: Mapping[str, str]) -> str:
    name, template = lint.POOLS[pool], job_template(pool, environ)
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type=pool, base_job_template=template))
        return f"work pool {name}: created"
    if found.type != pool:
        raise SystemExit(f"expected work pool {name} to be of type {pool}, found {found.type}. Delete or rename it.")
    client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))
    return f"work pool {name}: up to date"


def _have_warehouse(environ: Mapping[str, str]) -> str:
    if not environ.get("WAREHOUSE_DSN"):
        return "block warehouse: left as it is, WAREHOUSE_DSN is not set"
    parts = {key: str(value) for key, value in conninfo_to_dict(environ["WAREHOUSE_DSN"]).items() if value is not None}
    password, port, host = parts.pop("password", None), parts.pop("port", None), parts.pop("host", None)
    # A socket's folder is no host to a URL: SQLAlchemy and libpq take it as a parameter.
    if host and host.startswith("/"):
        parts["host"], host = host, None
    connection = ConnectionComponents(
        # As text: the block's own list of drivers ends before psycopg 3.
        driver="postgresql+psycopg",
        username=parts.pop("user", None),
        password=SecretStr(password) if password else None,
        host=host,
        port=int(port) if port else None,
        database=parts.pop("dbname", None),
        query=parts or None,
    )
    SqlAlchemyConnector(connection_info=connection).save("warehouse", overwrite=True)
    return f"block warehouse: saved (database {connection.database} at {connection.host or 'a local socket'})"


def _have_lake(environ: Mapping[str, str]) -> str:
    bucket = environ.get("LAKE_BUCKET")
    if not bucket:
        return "block lake: left as it is, LAKE_BUCKET is not set"
    S3Bucket(bucket_name=bucket, credentials=_credentials(environ, "AWS_ENDPOINT_URL_S3")).save("lake", overwrite=True)
    return f"block lake: saved (bucket {bucket})"


def _have_totesys(environ: Mapping[str, str]) -> str:
    name = environ.get("TOTESYS_SECRET")
    if not name:
        return "block totesys: left as it is, TOTESYS_SECRET is not set"
    credentials = _credentials(environ, "AWS_ENDPOINT_URL_SECRETS_MANAGER")
    AwsSecret(aws_credentials=credentials, secret_name=name).save("totesys", overwrite=True)
    return f"block totesys: saved (secret {name} in Secrets Manager)"


def _credentials(environ: Mapping[str, str], endpoint_variable: str) -> AwsCredentials:
    secret = environ.get("AWS_SECRET_ACCESS_KEY")
    return AwsCredentials(
        aws_access_key_id=environ.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=SecretStr(secret) if secret else None,
        aws_session_token=environ.get("AWS_SESSION_TOKEN"),
        region_name=environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION"),
        aws_client_parameters=AwsClientParameters(
            endpoint_url=environ.get(endpoint_variable) or environ.get("AWS_ENDPOINT_URL")
        ),
    )


def _have_limit(client: SyncPrefectClient) -> str:
    # `concurrency("warehouse")` goes ahead unlimited where the limit does not exist.
    try:
        found = client.read_global_concurrency_limit_by_name("warehouse")
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name="warehouse", limit=WAREHOUSE_SLOTS))
        return f"concurrency limit warehouse: created, {WAREHOUSE_SLOTS} slots"
    return f"concurrency limit warehouse: left as it is, {found.limit} slots"


def _have_automation(client: SyncPrefectClient) -> str:
    # A worker that dies with its container (a host goes down) tells nobody, and the server would show Running for ever.
    wanted = AutomationCore(
        name=AUTOMATION,
        description="Marks a flow run Crashed once its heartbeat has been silent for nine minutes.",
        trigger=EventTrigger(
            after={_ALIVE},
            expect={_ALIVE, *(f"prefect.flow-run.{state}" for state in _AT_REST)},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=SILENCE,
        ),
        actions=[
            ChangeFlowRunState(
                name="Crashed",
                force=False,
                state=StateType.CRASHED,
                message=f"No heartbeat for {SILENCE.seconds} s: its container or process, and its worker, are gone.",
            )
        ],
    )
    # Creating is not idempotent on the server.
    found = client.read_automations_by_name(AUTOMATION)
    if not found:
        client.create_automation(wanted)
        return f"automation {AUTOMATION!r}: created"
    # An update starts the watch anew: a run that died just before it would never be found. So only where there is need.
    if _definition(found[0]) != _definition(wanted):
        client.update_automation(found[0].id, wanted.model_copy(update={"enabled": found[0].enabled}))
    return f"automation {AUTOMATION!r}: up to date"


def _definition(automation: AutomationCore) -> dict[str, Any]:
    # What the server adds (ids, dates) and what an operator may change (whether it is enabled) left out.
    return {
        "description": automation.description,
        "trigger": automation.trigger.model_dump(include=EventTrigger.model_fields.keys() - {"id"}),
        "actions": [action.model_dump() for action in automation.actions],
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m deployments.register", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pool", choices=get_args(Pool), default="docker", help="kind of work pool (default: docker)")
    parser.add_argument("--deploy", action="store_true", help="deploy everything in prefect.yaml as well")
    arguments = parser.parse_args()
    for line in register(arguments.pool, os.environ):
        print(line)
    if arguments.deploy:
        deploy(arguments.pool, os.environ)


if __name__ == "__main__":
    main()
