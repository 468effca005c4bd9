"""Create and update automations on a Prefect server, so that a repeated deployment changes nothing."""

from datetime import timedelta
from typing import Any, get_args

from prefect.automations import AutomationCore, ChangeFlowRunState, EventTrigger, Posture
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.schemas.events import ResourceSpecification

from tasks.run_summary import FailedName, StateName

TAG = "tally"
"""Tag of all deployments. Alerts about runs consider only runs with this tag."""

ENDED = (*get_args(StateName), *get_args(FailedName), "TimedOut", "Cancelled", "Crashed")
AWAY = (*ENDED, "Cancelling", "Scheduled", "AwaitingRetry", "AwaitingConcurrencySlot", "Paused", "Suspended")
"""Names of the states of runs that have ended, or that no process works on. Such a run sends no heartbeat."""

HEARTBEAT = "prefect.flow-run.heartbeat"
HEARTBEAT_TIMEOUT = timedelta(seconds=540)
"""A run counts as crashed after this time without a heartbeat: three heartbeats, which a run sends every 180 s."""

CRASH_SILENT_RUNS = AutomationCore(
    name="Mark silent runs as Crashed",
    description="A flow run that sent no heartbeat for nine minutes has lost its process. It becomes Crashed.",
    trigger=EventTrigger(
        after={HEARTBEAT},
        expect={HEARTBEAT, *(f"prefect.flow-run.{state}" for state in AWAY)},
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
                f"No heartbeat for {HEARTBEAT_TIMEOUT.seconds} s: the process or container of the run and its worker"
                " have ended. Run the flow again."
            ),
        )
    ],
)
"""If a host fails, the worker and the container end without a report. The run would stay in state Running."""

FORMER_NAMES = {CRASH_SILENT_RUNS.name: "Crash runs that stopped without a word"}
"""Names of automations in earlier versions. The next registration renames them."""


def ensure_automation(client: SyncPrefectClient, wanted: AutomationCore) -> str:
    """Create an automation, or update the automation with its name or its former name. Remove further ones.

    Returns:
        One line with the action taken.
    """
    # The server would create a second automation with the same name.
    found = client.read_automations_by_name(wanted.name)
    if former := FORMER_NAMES.get(wanted.name):
        found += client.read_automations_by_name(former)
    for duplicate in found[1:]:
        client.delete_automation(duplicate.id)
    if not found:
        client.create_automation(wanted)
        return f"automation {wanted.name!r}: created"
    # An update restarts the timers, and a run that crashed just before the update would never be detected. The
    # automation is therefore updated only if its definition has changed.
    if definition_of(found[0]) == definition_of(wanted):
        return f"automation {wanted.name!r}: up to date"
    client.update_automation(found[0].id, wanted.model_copy(update={"enabled": found[0].enabled}))
    return f"automation {wanted.name!r}: updated"


def definition_of(automation: AutomationCore) -> dict[str, Any]:
    """Return the parts of an automation that a comparison considers.

    The definition excludes ids and dates, which the server adds, and `enabled`, which an operator may change.
    """
    return {
        "name": automation.name,
        "description": automation.description,
        "trigger": automation.trigger.model_dump(include=EventTrigger.model_fields.keys() - {"id"}),
        "actions": [action.model_dump() for action in automation.actions],
    }
