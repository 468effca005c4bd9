"""The automations that tell people what needs their attention, by a webhook and by e-mail.

`docs/alerts.md` explains each alert. The names of the automations and of the two blocks begin with `Tally: ` and
`tally-alert-`; `make deploy` removes automations and blocks with these names that it no longer wants.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.automations import AutomationCore, EventTrigger, Posture
from prefect.blocks.core import Block
from prefect.blocks.notifications import SlackWebhook
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import ActionTypes, CallWebhook, SendNotification
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.types import SecretDict

from deployments.alert_settings import AlertSettings, read_alerts
from deployments.automations import AWAY, CRASH_SILENT_RUNS, TAG, ensure_automation
from deployments.work_pools import POOLS
from tasks import alerts

PREFIX = "Tally: "
WEBHOOK, EMAIL = "tally-alert-webhook", "tally-alert-email"
REMINDER = timedelta(days=1)
"""Time after which an alert about the same late data is repeated."""

LONGEST_TEXT = 2_000
"""Characters of a state message that a notification contains."""


@dataclass(frozen=True)
class Alert:
    """One kind of notification.

    Attributes:
        name: Name of the automation, without the prefix.
        meaning: What happened, for the automation's description.
        next_step: What to do next. Empty if the event says so.
        trigger: When the automation fires.
    """

    name: str
    meaning: str
    next_step: str
    trigger: EventTrigger


def all_alerts(settings: AlertSettings) -> tuple[Alert, ...]:
    """Return all kinds of notifications, in the order of `docs/alerts.md`."""
    late, pending = timedelta(seconds=settings.alert_late_seconds), timedelta(seconds=settings.alert_pending_seconds)
    stuck = timedelta(seconds=settings.alert_stuck_seconds)
    return (
        Alert(
            "a run failed",
            "A flow run failed. Its message says why.",
            "Do what the message says, then run the flow again.",
            _run({"prefect.flow-run.*"}, {"prefect.state-type": "FAILED", "prefect.state-name": "!Stale"}),
        ),
        Alert(
            "a run crashed",
            "The process or container of a flow run ended without a result.",
            "Look at the run's log and at memory and disk of the worker's host, then run the flow again.",
            _run({"prefect.flow-run.Crashed"}),
        ),
        Alert(
            "a run is late",
            f"A scheduled flow run did not start within {_text(late)} after Prefect marked it as Late.",
            "Start a worker of the pool, or look at the limits of the pool and of its workers.",
            _absence({"prefect.flow-run.Late"}, ("Pending", "Running", *AWAY), late),
        ),
        Alert(
            "a run does not start",
            f"A worker took a flow run, but the run did not start within {_text(pending)}.",
            "Look at the worker's log: the image may be missing, or the host may have no resources left.",
            _absence({"prefect.flow-run.Pending"}, ("Running", *AWAY), pending),
        ),
        Alert(
            "a run is stuck",
            f"A flow run is still running after {_text(stuck)}.",
            "Look at the run's log. If the run does not progress, cancel it and run the flow again.",
            _absence({"prefect.flow-run.Running"}, AWAY, stuck),
        ),
        Alert(
            "a work pool has no worker",
            "The last worker of a work pool stopped answering. Runs of the pool wait.",
            "Start a worker: .venv/bin/prefect worker start --pool <pool> --type <type of the pool>",
            EventTrigger(
                expect={"prefect.work-pool.not-ready"},
                match=ResourceSpecification(
                    {"prefect.resource.id": "prefect.work-pool.*", "prefect.resource.name": sorted(POOLS.values())}
                ),
                posture=Posture.Reactive,
                threshold=1,
            ),
        ),
        Alert(
            "a load does not balance",
            "The table does not hold the rows that the ledger counts.",
            "",
            _own(alerts.LOAD_UNBALANCED),
        ),
        Alert(
            "data is late",
            "Data is not in the warehouse by its deadline, or the freshness check failed.",
            "",
            _own(alerts.FRESHNESS_MISSED, REMINDER),
        ),
        Alert(
            "the error budget is nearly used",
            "A load rejected at least 80 % of the rows that it may reject.",
            "",
            _own(alerts.BUDGET_NEARLY_USED),
        ),
        Alert(
            "a catch-up found changes",
            "A catch-up loads or builds partitions that are new or changed. Their figures change.",
            "",
            _own(alerts.CATCH_UP_CHANGED),
        ),
        Alert(
            "an object has an unusual number of rows",
            "An object has far fewer or far more rows than the last objects of its dataset, or none.",
            "",
            _own(alerts.VOLUME_UNUSUAL),
        ),
    )


def _run(expect: set[str], labels: Mapping[str, str] | None = None) -> EventTrigger:
    """A trigger that fires for each event of a run."""
    return EventTrigger(expect=expect, posture=Posture.Reactive, threshold=1, **_runs(labels or {}))


def _absence(after: set[str], states: tuple[str, ...], within: timedelta) -> EventTrigger:
    """A trigger that fires if a run enters none of the given states within a time after an event."""
    return EventTrigger(
        after=after,
        expect={f"prefect.flow-run.{state}" for state in states},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=within,
        **_runs({}),
    )


def _runs(labels: Mapping[str, str]) -> dict[str, Any]:
    return {
        "match": ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*", **labels}),
        "match_related": ResourceSpecification(
            {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"}
        ),
    }


def _own(event: str, within: timedelta = timedelta()) -> EventTrigger:
    """A trigger for an event of `tasks.alerts`. Within a time, it fires once for each dataset and partition."""
    return EventTrigger(
        expect={event},
        match=ResourceSpecification({"prefect.resource.id": "tally.dataset.*"}),
        for_each={"prefect.resource.id", "tally.partition"} if within else set(),
        posture=Posture.Reactive,
        threshold=1,
        within=within,
    )


def _text(duration: timedelta) -> str:
    seconds = int(duration.total_seconds())
    return f"{seconds // 60} minutes" if seconds % 60 == 0 and seconds > 60 else f"{seconds} seconds"


def body_of(alert: Alert) -> str:
    """Return the Jinja template of a notification: what happened, where, what to do next, and a link."""
    next_step = alert.next_step or "{{ event.payload.next_step }}"
    return (
        f"{PREFIX}{alert.name}\n"
        "{% if event.payload.finding %}{{ event.payload.finding }}\n"
        f"{{% else %}}{alert.meaning}\n{{% endif %}}"
        "{% if flow_run %}Run: {{ flow_run.name }} ({{ flow_run.state.name }})\n"
        "{% if flow_run.state.message and not event.payload.finding %}"
        f"{{{{ flow_run.state.message | truncate({LONGEST_TEXT}) }}}}\n{{% endif %}}{{% endif %}}"
        "{% if work_pool %}Work pool: {{ work_pool.name }}\n{% endif %}"
        f"Next: {next_step}\n"
        "{% if flow_run %}{{ flow_run | ui_url }}{% elif work_pool %}{{ work_pool | ui_url }}{% endif %}"
    )


def _actions(alert: Alert, webhook: UUID | None, email: UUID | None) -> list[ActionTypes]:
    body, actions = body_of(alert), list[ActionTypes]()
    if webhook:
        payload = f'{{% set text %}}{body}{{% endset %}}{{"text": {{{{ text | tojson }}}}}}'
        actions.append(CallWebhook(block_document_id=webhook, payload=payload))
    if email:
        subject = f"{PREFIX}{alert.name}{{% if flow_run %}}, {{{{ flow_run.name }}}}{{% endif %}}"
        actions.append(SendNotification(block_document_id=email, subject=subject, body=body))
    return actions


def register_alerts(client: SyncPrefectClient, environ: Mapping[str, str]) -> list[str]:
    """Register the automations of all alerts, or remove them if the settings name no receiver.

    Args:
        client: Of the server.
        environ: The environment with the settings of `.env.example`.

    Returns:
        One line for each object, with the action taken.

    Raises:
        SystemExit: A setting is invalid.
    """
    settings = read_alerts(environ)
    lines: list[str] = []
    webhook = email = None
    if settings.alert_webhook_url:
        headers = SecretDict({"Content-Type": "application/json"})
        webhook = _save(Webhook(method="POST", url=settings.alert_webhook_url, headers=headers), WEBHOOK)
        lines.append(f"block {WEBHOOK}: saved")
    if settings.recipients:
        # An automation can use no SMTP block of Prefect. This block passes any address of Apprise to Apprise.
        email = _save(SlackWebhook(url=settings.mail_url), EMAIL)
        lines.append(f"block {EMAIL}: saved (to {settings.alert_email_to} through {settings.smtp_host})")
    wanted = _automations(settings, webhook, email)
    lines += [ensure_automation(client, automation) for automation in wanted]
    lines += _remove_others(client, {automation.name for automation in wanted})
    lines += [] if webhook else _remove_block(client, WEBHOOK, Webhook)
    lines += [] if email else _remove_block(client, EMAIL, SlackWebhook)
    if not wanted:
        lines.append("alerts: off, because neither ALERT_WEBHOOK_URL nor ALERT_EMAIL_TO is set")
    return lines


def wanted_automations(client: SyncPrefectClient, environ: Mapping[str, str]) -> list[AutomationCore]:
    """Return all automations that `make deploy` registers with these settings, without a change of the server."""
    settings = read_alerts(environ)
    webhook = _block_id(client, WEBHOOK, Webhook) if settings.alert_webhook_url else None
    email = _block_id(client, EMAIL, SlackWebhook) if settings.recipients else None
    return [CRASH_SILENT_RUNS, *_automations(settings, webhook, email)]


def _automations(settings: AlertSettings, webhook: UUID | None, email: UUID | None) -> list[AutomationCore]:
    return [
        AutomationCore(
            name=PREFIX + alert.name,
            description=alert.meaning,
            trigger=alert.trigger,
            actions=_actions(alert, webhook, email),
        )
        for alert in (all_alerts(settings) if settings.is_on else ())
    ]


def _save(block: Block, name: str) -> UUID:
    saved: Any = block.save(name, overwrite=True)
    return UUID(str(saved))


def _remove_others(client: SyncPrefectClient, wanted: set[str]) -> list[str]:
    """Remove automations with the prefix of the alerts and an unknown name. Without receivers, remove all of them."""
    found = [x for x in client.read_automations() if x.name.startswith(PREFIX) and x.name not in wanted]
    for automation in found:
        client.delete_automation(automation.id)
    return [f"automation {automation.name!r}: removed" for automation in found]


def _remove_block(client: SyncPrefectClient, name: str, block: type[Block]) -> list[str]:
    if (found := _block_id(client, name, block)) is None:
        return []
    client.delete_block_document(found)
    return [f"block {name}: removed"]


def _block_id(client: SyncPrefectClient, name: str, block: type[Block]) -> UUID | None:
    try:
        return client.read_block_document_by_name(name, block.get_block_type_slug()).id
    except ObjectNotFound:
        return None
