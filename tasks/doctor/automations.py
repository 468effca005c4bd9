"""Checks of automations: those that `make deploy` registers are on the server, switched on and unchanged."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prefect.automations import AutomationCore
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import Automation

from tasks.doctor.server import Server
from tasks.engine.doctor.outcomes import Check, Finding, ok, problem, skipped, warning
from tasks.engine.quoting import listed


@dataclass(frozen=True)
class WantedAutomations:
    """The automations that `make deploy` registers.

    Attributes:
        read: Returns the automations for a server.
        definition: Returns the parts of an automation that a comparison considers.
    """

    read: Callable[[SyncPrefectClient], Sequence[AutomationCore]]
    definition: Callable[[AutomationCore], Mapping[str, Any]]


def automations_check(wanted: WantedAutomations | None) -> Check[Server]:
    """The check of automations. If the wanted automations are unknown, the check finds only those that do not work."""
    return Check("automations", lambda server: check_automations(server, wanted))


def check_automations(server: Server, wanted: WantedAutomations | None) -> Iterator[Finding]:
    """Each automation of `make deploy` exists, unchanged and switched on. Without it, nobody hears of a failure."""
    found: list[Automation] = server.client.read_automations()
    by_name: dict[str, list[Automation]] = {}
    for each in found:
        by_name.setdefault(each.name, []).append(each)
    findings = [*_disabled(found), *_broken(server, found)]
    own = wanted.read(server.client) if wanted else ()
    if wanted is not None:
        findings += _compared(server, by_name, own, wanted.definition)
    yield from findings
    if wanted is None:
        yield skipped(
            f"the server has {len(found)} automations. Only a machine that runs `make deploy` knows which automations"
            " belong on the server",
            "On the machine that deploys: make doctor",
        )
    elif not findings:
        yield ok(f"{len(own)} automations are as `make deploy` registers them")


def _disabled(found: Sequence[Automation]) -> Iterator[Finding]:
    for each in found:
        if not each.enabled:
            yield warning(
                f"automation {each.name!r} is switched off",
                "on, unless somebody switched it off on purpose",
                f".venv/bin/prefect automation resume --id {each.id}",
            )


def _broken(server: Server, found: Sequence[Automation]) -> Iterator[Finding]:
    """Findings about automations that start a deployment which no longer exists."""
    known = {str(each.id) for each in server.deployments}
    for each in found:
        for action in each.actions:
            deployment = getattr(action, "deployment_id", None)
            if deployment is not None and str(deployment) not in known:
                yield warning(
                    f"automation {each.name!r} refers to a deployment that does not exist",
                    "an automation whose deployment exists",
                    f".venv/bin/prefect automation delete --id {each.id}\n{server.deploy}",
                )


def _compared(
    server: Server,
    by_name: Mapping[str, Sequence[Automation]],
    wanted: Sequence[AutomationCore],
    definition: Callable[[AutomationCore], Mapping[str, Any]],
) -> Iterator[Finding]:
    names = [each.name for each in wanted]
    if missing := [name for name in names if name not in by_name]:
        yield problem(f"not registered: {listed(missing)}", "every automation of `make deploy`", server.deploy)
    for each in wanted:
        there = by_name.get(each.name, ())
        if len(there) > 1:
            yield warning(
                f"automation {each.name!r} exists {len(there)} times: each one acts",
                "each automation once",
                "\n".join(f".venv/bin/prefect automation delete --id {one.id}" for one in there[1:]),
            )
        if there and definition(there[0]) != definition(each):
            yield problem(f"automation {each.name!r} was changed", "the automation of `make deploy`", server.deploy)
    for name in sorted(by_name.keys() - set(names)):
        yield warning(
            f"automation {name!r} is not one of Tally's",
            "only the automations of `make deploy`, unless somebody added this one on purpose",
            f".venv/bin/prefect automation delete --id {by_name[name][0].id}",
        )
