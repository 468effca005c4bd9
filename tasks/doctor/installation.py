"""Examine the whole installation: the services, and the Prefect server."""

from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

from tasks.doctor.automations import WantedAutomations, automations_check
from tasks.doctor.blocks import BLOCK_CHECKS
from tasks.doctor.clear_secrets import known_secrets, secret_checks
from tasks.doctor.deployed import DEPLOYED_CHECKS
from tasks.doctor.pools import POOL_CHECKS
from tasks.doctor.server import VERSION, Server, server_clock, wanted_config
from tasks.doctor.services import CLOCKS, examine_services
from tasks.engine.doctor.clocks import RemoteClock, clock_check
from tasks.engine.doctor.outcomes import Result, all_skipped, examine, guarded, ok, problem
from tasks.engine.doctor.report import masked
from tasks.engine.quoting import printable

SERVER = "Prefect server"
START = "make up\nor start your server, and export PREFECT_API_URL=http://<host>:4200/api"


def examine_installation(automations: WantedAutomations | None = None) -> list[Result]:
    """Run every check that this process can run. No text of a result contains a secret.

    Args:
        automations: The automations that the server should have; None if this installation does not know them.
    """
    url = get_current_settings().api.url
    results = examine_services()
    secrets = known_secrets() if url else {}
    results = [*guarded(SERVER, lambda: examine_server(url, secrets, automations)), *results]
    return masked(results, secrets)


def examine_server(
    url: str | None, secrets: dict[str, str], automations: WantedAutomations | None = None
) -> list[Result]:
    """Check the Prefect server, its blocks and its pools, and search it for secrets.

    Args:
        url: URL of the API; None if none is configured.
        secrets: Values of secrets, each with its name.
        automations: See `examine_installation`.
    """
    checks = (
        VERSION,
        *POOL_CHECKS,
        *BLOCK_CHECKS,
        *DEPLOYED_CHECKS,
        automations_check(automations),
        *secret_checks(secrets),
    )
    if not url:
        found = problem("PREFECT_API_URL is not set", "the URL of a Prefect server", START)
        return [Result(SERVER, "reachable", found), *all_skipped(SERVER, checks, "no server is set")]
    with get_client(sync_client=True) as client:
        if (error := client.api_healthcheck()) is not None:
            text = f"{url} does not answer: {printable(f'{type(error).__name__}: {error}', 500)}"
            found = problem(text, "a server that answers", START)
            return [Result(SERVER, "reachable", found), *all_skipped(SERVER, checks, "the server does not answer")]
        clock = clock_check(RemoteClock("the Prefect server", server_clock(client)))
        return [
            Result(SERVER, "reachable", ok(f"{url} answers")),
            *examine(SERVER, checks, Server(client, wanted_config())),
            *examine(CLOCKS, (clock,), None),
        ]
