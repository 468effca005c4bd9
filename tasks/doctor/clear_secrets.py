"""Search the Prefect server for secrets in clear: everything that a person with access to the UI can read."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort, LogSort
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from tasks.connections import block_settings, source_settings
from tasks.contracts.catalog import sources
from tasks.doctor.blocks import LAKE, WAREHOUSE, documents
from tasks.doctor.server import PAGE, Server
from tasks.engine.doctor.outcomes import Check, Finding, ok, problem
from tasks.engine.doctor.secrets import secret_kinds, texts_of
from tasks.engine.errors import TallyError
from tasks.engine.quoting import listed
from tasks.engine.settings import read_lake, read_warehouse

REMEDY = (
    "Remove the secret there, put it into a block, and replace it with a new one: everyone who can read the server may"
    " have seen it"
)
Place = tuple[str, Any]
"""A thing on the server, and its content."""


def known_secrets() -> dict[str, str]:
    """Values of the secrets that this process knows, from the environment and from blocks, each with its name."""
    found: dict[str, str] = {}
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PREFECT_API_AUTH_STRING", "PREFECT_API_KEY"):
        if value := os.environ.get(name):
            found[value] = f"the value of {name}"
    if auth := os.environ.get("PREFECT_API_AUTH_STRING"):
        found[auth.rpartition(":")[2]] = "the password of the Prefect server"
    environments: tuple[Mapping[str, str], ...] = (os.environ, {})
    for environ in environments:
        with suppress(TallyError):
            found |= _password(read_warehouse(environ, block_settings()[WAREHOUSE]).dsn, "the warehouse's password")
        with suppress(TallyError):
            lake = read_lake(environ, block_settings()[LAKE])
            for secret in (lake.secret_access_key, lake.session_token):
                if secret:
                    found.setdefault(secret.get_secret_value(), "the secret key of the lake")
    for source in sources().values():
        with suppress(TallyError):
            found |= _password(source_settings(source).dsn, f"the password of source {source.name}")
    return found


def _password(dsn: SecretStr, name: str) -> dict[str, str]:
    value = conninfo_to_dict(dsn.get_secret_value()).get("password")
    return {str(value): name} if value else {}


def _pools(server: Server) -> Iterator[Place]:
    for pool in server.pools.values():
        yield f"work pool {pool.name}, its job template", pool.base_job_template


def _deployments(server: Server) -> Iterator[Place]:
    for each in server.deployments:
        name = server.address(each)
        yield f"deployment {name}, its job variables", each.job_variables
        yield f"deployment {name}, its parameters", each.parameters
        yield f"deployment {name}, its pull steps", each.pull_steps
        yield f"deployment {name}, its schedules", [schedule.parameters for schedule in each.schedules]


def _runs(server: Server) -> Iterator[Place]:
    for run in server.client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=PAGE):
        yield f"run {run.name}, its parameters", run.parameters
        yield f"run {run.name}, its job variables", run.job_variables
        yield f"run {run.name}, its state", run.state.message if run.state else ""


def _variables(server: Server) -> Iterator[Place]:
    for variable in server.client.read_variables(limit=PAGE):
        yield f"variable {variable.name}", variable.value


def _blocks(server: Server) -> Iterator[Place]:
    for document in documents(server):
        yield f"block {document.name}, fields that are not secret", _without_key_ids(document.data)


def _without_key_ids(data: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the ids of AWS keys, which blocks keep in clear. An id without its key is of no use."""
    return {
        name: _without_key_ids(value) if isinstance(value, Mapping) else value
        for name, value in data.items()
        if name != "aws_access_key_id"
    }


def _artifacts(server: Server) -> Iterator[Place]:
    for artifact in server.client.read_artifacts(sort=ArtifactSort.CREATED_DESC, limit=PAGE):
        yield f"artifact {artifact.key or artifact.id}", [artifact.data, artifact.description]


def _logs(server: Server) -> Iterator[Place]:
    for log in server.client.read_logs(sort=LogSort.TIMESTAMP_DESC, limit=PAGE):
        yield f"log of run {log.flow_run_id}", log.message


PLACES: Mapping[str, Callable[[Server], Iterator[Place]]] = {
    "work pools": _pools,
    "deployments": _deployments,
    "recent runs": _runs,
    "variables": _variables,
    "blocks": _blocks,
    "recent artifacts": _artifacts,
    "recent logs": _logs,
}


def check_secrets(server: Server, name: str, secrets: Mapping[str, str]) -> Iterator[Finding]:
    """Search one kind of things for known secrets and for patterns."""
    found: dict[str, list[str]] = {}
    count = 0
    for place, content in PLACES[name](server):
        count += 1
        for path, text in texts_of(content):
            for kind in secret_kinds(text, secrets):
                found.setdefault(kind, []).append(f"{place}{f' ({path})' if path else ''}")
    for kind, places in found.items():
        found_in = listed(dict.fromkeys(places), 5)
        yield problem(f"{kind} in clear text: {found_in}", "no secret outside of a block", REMEDY)
    if not found:
        yield ok(f"{count} places hold no secret")


def secret_checks(secrets: Mapping[str, str]) -> tuple[Check[Server], ...]:
    """The searches of all kinds of things."""
    return tuple(
        Check(f"secrets in {name}", lambda server, name=name: check_secrets(server, name, secrets))  # type: ignore[misc]
        for name in PLACES
    )
