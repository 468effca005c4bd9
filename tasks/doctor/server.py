"""The Prefect server that is checked, and whether it answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import prefect
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import WorkPool
from prefect.client.schemas.responses import DeploymentResponse

from tasks.engine.doctor.clocks import Clock, header_date
from tasks.engine.doctor.outcomes import Check, Finding, ok, problem, warning

ROOT = Path(__file__).resolve().parents[2]
PAGE = 200
DEPLOY = "make deploy"

Item = TypeVar("Item")


@dataclass(frozen=True)
class Server:
    """A Prefect server, and what should be on it.

    Attributes:
        client: A client of the server.
        config: Content of `prefect.yaml`; None if this installation does not contain the file.
    """

    client: SyncPrefectClient
    config: Mapping[str, Any] | None

    @cached_property
    def deployments(self) -> list[DeploymentResponse]:
        """All deployments of the server."""
        return all_pages(lambda offset: self.client.read_deployments(limit=PAGE, offset=offset))

    @cached_property
    def flow_names(self) -> dict[str, str]:
        """Names of all flows, by id."""
        flows = all_pages(lambda offset: self.client.read_flows(limit=PAGE, offset=offset))
        return {str(flow.id): flow.name for flow in flows}

    @cached_property
    def pools(self) -> dict[str, WorkPool]:
        """All work pools of the server, by name."""
        return {pool.name: pool for pool in self.client.read_work_pools(limit=PAGE)}

    def address(self, deployment: DeploymentResponse) -> str:
        """`flow/deployment`, as commands take it."""
        return f"{self.flow_names.get(str(deployment.flow_id), '?')}/{deployment.name}"

    @property
    def wanted(self) -> dict[str, Mapping[str, Any]]:
        """The deployments of `prefect.yaml`, by name."""
        return {each["name"]: each for each in (self.config or {}).get("deployments") or []}

    @cached_property
    def own(self) -> list[DeploymentResponse]:
        """The deployments that belong to Tally: those of the file, and others on a pool or of a flow of the file."""
        names, pools = set(self.wanted), {each["work_pool"]["name"] for each in self.wanted.values()}
        flows = {str(each["entrypoint"]).rpartition(".")[2] for each in self.wanted.values()}
        return [
            each
            for each in self.deployments
            if each.name in names or each.work_pool_name in pools or (each.entrypoint or "").rpartition(".")[2] in flows
        ]

    @property
    def pool_names(self) -> list[str]:
        """Names of the pools of Tally's deployments; without a deployment, the pool of the file."""
        used = {each.work_pool_name for each in self.own if each.name in self.wanted and each.work_pool_name}
        return sorted(used or {each["work_pool"]["name"] for each in self.wanted.values()})

    @property
    def deploy(self) -> str:
        """The command that registers and deploys everything for the pool in use."""
        types = [self.pools[name].type for name in self.pool_names if name in self.pools]
        pool = types[0] if types else "docker"
        return DEPLOY if pool == "docker" else f".venv/bin/python -m deployments.register --pool {pool} --deploy"


def wanted_config() -> Mapping[str, Any] | None:
    """The content of `prefect.yaml`, if this installation contains it."""
    file = ROOT / "prefect.yaml"
    return dict(yaml.safe_load(file.read_text(encoding="utf-8"))) if file.is_file() else None


def all_pages(read: Callable[[int], Sequence[Item]]) -> list[Item]:
    """Read all pages of a list of the server."""
    found: list[Item] = []
    while len(page := read(len(found))) == PAGE:
        found += page
    return [*found, *page]


def server_clock(client: SyncPrefectClient) -> Clock:
    """The clock of the Prefect server, from the header of a response."""
    return lambda: header_date(client._client.get("/health").headers["date"])


def check_server_version(server: Server) -> Iterator[Finding]:
    """The server is not older than the client: an older server may refuse requests of the client."""
    there, here = server.client.api_version(), prefect.__version__
    if _release(there) < _release(here):
        yield problem(
            f"the server has Prefect {there}, and Tally uses {here}",
            f"a server with Prefect {here} or newer: an older server refuses requests of a newer client",
            f"Upgrade the server: pip install prefect=={here}",
        )
    elif _release(there)[0] != _release(here)[0]:
        yield warning(
            f"the server has Prefect {there}, and Tally uses {here}", "the same major version", "Upgrade Tally"
        )
    else:
        yield ok(f"the server has Prefect {there}, and Tally uses {here}")


def _release(version: str) -> tuple[int, ...]:
    parts = version.split("+", maxsplit=1)[0].split(".")[:2]
    return tuple(int(part) for part in parts if part.isdigit())


VERSION = Check("version", check_server_version)
