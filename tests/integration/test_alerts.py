"""Each alert reaches a webhook and a mailbox, and a repeated registration changes nothing."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller
from prefect import State, flow, tags
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.states import Crashed, Failed, Pending, Running, Scheduled
from sample_dataset import HEADER, THINGS, put, ready_connection

from deployments.alert_settings import AlertSettings, read_alerts
from deployments.alerts import EMAIL, PREFIX, WEBHOOK, all_alerts, register_alerts, wanted_automations
from deployments.automations import CRASH_SILENT_RUNS, FORMER_NAMES, TAG, definition_of, ensure_automation
from deployments.local.child_process import LOOPBACK, free_port
from flows.backfill import backfill
from flows.freshness import freshness
from tasks.check import check_loads
from tasks.load import load_object

pytestmark = pytest.mark.usefixtures("prefect_server")

POOL = "tally-process"
DEADLINE = 180
"""Seconds until all notifications must have arrived. The slowest waits for three services of the server."""

ALERTS = all_alerts(AlertSettings())
EVENT = b"5f9c8c5e-0000-4000-8000-000000000001,2021-03-01,a@example.org,DE,192.0.2.1,/,view,[]\n"
EVENTS_HEADER = b"id,timestamp,email,country,ip,uri,action,tags\n"


class _Received:
    """Texts that a receiver got; a test waits for them."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._changed = threading.Condition()

    def add(self, text: str) -> None:
        with self._changed:
            self._texts.append(text)
            self._changed.notify_all()

    def wait(self, is_complete: Callable[[list[str]], bool]) -> list[str]:
        """Return all texts as soon as they are complete, or at the deadline."""
        with self._changed:
            self._changed.wait_for(lambda: is_complete(self._texts), timeout=DEADLINE)
            return list(self._texts)


class _Mailbox:
    def __init__(self) -> None:
        self.mails = _Received()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        to = ", ".join(envelope.rcpt_tos)
        self.mails.add(f"From: {mail['From']}\nTo: {to}\nSubject: {mail['Subject']}\n{mail.get_content()}")
        return "250 OK"


@pytest.fixture
def webhook() -> Iterator[tuple[str, _Received]]:
    """The URL of a receiver of webhooks, and the texts that it gets."""
    received = _Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.headers["Content-Type"] == "application/json"
            received.add(body["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Write nothing to the output of the tests."""

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://{LOOPBACK}:{server.server_port}/hook-secret", received
        server.shutdown()
        thread.join()


@pytest.fixture
def mailbox() -> Iterator[tuple[int, _Received]]:
    """The port of a mail server, and the mails that it gets."""
    box = _Mailbox()
    controller = Controller(box, hostname=LOOPBACK, port=free_port())
    controller.start()
    yield controller.port, box.mails
    controller.stop()


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as opened:
        yield opened
        register_alerts(opened, {})


@pytest.fixture
def receivers(webhook: tuple[str, _Received], mailbox: tuple[int, _Received]) -> dict[str, str]:
    """The settings of both receivers, with the shortest possible times."""
    return {
        "ALERT_WEBHOOK_URL": webhook[0],
        "ALERT_EMAIL_TO": "night@example.org, day@example.org",
        "ALERT_EMAIL_FROM": "tally@example.org",
        "SMTP_HOST": LOOPBACK,
        "SMTP_PORT": str(mailbox[0]),
        "SMTP_SECURITY": "none",
        **{f"ALERT_{name}_SECONDS": "10" for name in ("LATE", "PENDING", "STUCK")},
    }


@pytest.fixture
def deployment(client: SyncPrefectClient) -> Iterator[UUID]:
    """A deployment with the tag of all deployments, on a pool whose only worker has just stopped answering."""
    client.create_work_pool(WorkPoolCreate(name=POOL, type="process"), overwrite=True)
    created = client.create_deployment(
        client.create_flow_from_name("probe"), "alerts-probe", tags=[TAG], work_pool_name=POOL
    )
    client.send_worker_heartbeat(POOL, "worker", heartbeat_interval_seconds=1)
    yield created
    client.delete_deployment(created)
    client.delete_work_pool(POOL)


@flow(name="probe-loads")
def probe_loads() -> None:
    """Load an object with few rows and many rejected rows, whose rows another writer then removes."""
    rows = b"a,2021-04-01\n" + b"b,never\n" * 90
    load = load_object(THINGS, put(HEADER + rows, "things/2021-04.csv"))
    load_object(THINGS, put(HEADER, "things/2021-05.csv", "2021-05"))
    with ready_connection(THINGS) as warehouse:
        warehouse.execute("DELETE FROM things_staging.things")
    check_loads(THINGS, [load])


def _alert_of(text: str) -> str:
    return next((line.removeprefix(PREFIX) for line in text.splitlines() if line.startswith(PREFIX)), text)


@pytest.mark.slow
@pytest.mark.usefixtures("database", "bucket")
def test_every_alert_reaches_the_webhook_and_the_mailbox(
    client: SyncPrefectClient,
    receivers: dict[str, str],
    deployment: UUID,
    webhook: tuple[str, _Received],
    mailbox: tuple[int, _Received],
) -> None:
    register_alerts(client, receivers)
    past = datetime.now(UTC) - timedelta(hours=1)
    late = client.create_flow_run_from_deployment(deployment, state=Scheduled(scheduled_time=past), name="late-run")
    runs = {"late-run": late.id}
    states: dict[str, State] = {"failed": Failed(message="No object for 2021-04"), "crashed": Crashed(message="Killed")}
    states |= {"pending": Pending(), "stuck": Running()}
    for name, state in states.items():
        run = client.create_flow_run_from_deployment(deployment, name=f"{name}-run")
        client.set_flow_run_state(run.id, state, force=True)
        runs[f"{name}-run"] = run.id
    foreign = client.create_flow_run(probe_loads, name="foreign-run", state=Failed(message="not of Tally"))
    with ready_connection(THINGS), tags(TAG):
        probe_loads(return_state=True)
        put(EVENTS_HEADER + EVENT, "2021/03/events.csv", "2021-03")
        backfill("events-monthly")
        freshness(return_state=True)

    wanted = {alert.name for alert in ALERTS}
    texts = webhook[1].wait(lambda found: wanted <= {_alert_of(text) for text in found})
    assert {_alert_of(text) for text in texts} == wanted
    mails = mailbox[1].wait(lambda found: all(sum(_alert_of(x) == name for x in found) >= 2 for name in wanted))
    assert {_alert_of(mail) for mail in mails} == wanted
    _check_texts(texts, runs)
    for mail in mails:
        assert mail.startswith("From: tally@example.org\n")
        assert f"Subject: {PREFIX}" in mail
    assert {"To: night@example.org", "To: day@example.org"} == {mail.splitlines()[1] for mail in mails}
    assert not any("foreign-run" in text or str(foreign.id) in text for text in texts + mails)
    assert not any("hook-secret" in text or "never" in text for text in texts)


def _check_texts(texts: list[str], runs: dict[str, UUID]) -> None:
    """Check that each notification names the place, the next step and the run."""

    def text_of(name: str, part: str = "") -> str:
        return next(text for text in texts if _alert_of(text) == name and part in text)

    for text in texts:
        assert "\nNext: " in text
        assert "{{" not in text
        assert "None" not in text
    for name, run in (
        ("a run failed", "failed-run"),
        ("a run crashed", "crashed-run"),
        ("a run is late", "late-run"),
        ("a run does not start", "pending-run"),
        ("a run is stuck", "stuck-run"),
    ):
        text = text_of(name, run)
        assert f"Run: {run}" in text
        assert text.splitlines()[-1].startswith("http://")
        assert text.endswith(f"/runs/flow-run/{runs[run]}")
    assert "No object for 2021-04" in text_of("a run failed", "failed-run")
    assert f"Work pool: {POOL}" in text_of("a work pool has no worker")
    assert "90 of 91 rows were rejected, and the error budget is 100 rows" in text_of("the error budget is nearly used")
    assert "things_staging.things holds 0 of its rows" in text_of("a load does not balance")
    assert "things/2021-05.csv: expected 1 or more rows" in text_of("an object has an unusual number of rows")
    assert "2021-03 (new)" in text_of("a catch-up found changes")
    late_data = text_of("data is late")
    assert "events 2" in late_data
    assert "Ask the supplier. After the delivery, run events-monthly for" in late_data
    assert "/runs/flow-run/" in late_data


def _automations(client: SyncPrefectClient) -> dict[str, Automation]:
    return {found.name: found for found in client.read_automations() if found.name.startswith(PREFIX)}


def _copy(automation: Automation, **changes: object) -> AutomationCore:
    """The automation as a client sends it, with changes."""
    return AutomationCore.model_validate(
        automation.model_dump(include=AutomationCore.model_fields.keys() - {"owner_resource"}) | changes
    )


def test_a_second_registration_changes_nothing(client: SyncPrefectClient, receivers: dict[str, str]) -> None:
    first = register_alerts(client, receivers)
    assert sum(line.endswith(": created") for line in first) == len(ALERTS)
    before = _automations(client)
    assert sorted(before) == sorted(PREFIX + alert.name for alert in ALERTS)
    second = register_alerts(client, receivers)
    assert sum(line.endswith(": up to date") for line in second) == len(ALERTS)
    assert _automations(client) == before
    wanted = {automation.name: definition_of(automation) for automation in wanted_automations(client, receivers)}
    assert {name: definition_of(found) for name, found in before.items()}.items() <= wanted.items()


def test_changed_settings_change_only_their_automations(client: SyncPrefectClient, receivers: dict[str, str]) -> None:
    register_alerts(client, receivers)
    lines = register_alerts(client, {**receivers, "ALERT_STUCK_SECONDS": "60"})
    assert [line for line in lines if line.endswith(": updated")] == ["automation 'Tally: a run is stuck': updated"]


def test_an_operator_may_turn_an_alert_off(client: SyncPrefectClient, receivers: dict[str, str]) -> None:
    register_alerts(client, receivers)
    found = _automations(client)["Tally: a run failed"]
    client.update_automation(found.id, _copy(found, enabled=False))
    register_alerts(client, {**receivers, "ALERT_EMAIL_TO": ""})
    assert not _automations(client)["Tally: a run failed"].enabled


def test_renamed_and_duplicate_automations_are_removed(client: SyncPrefectClient, receivers: dict[str, str]) -> None:
    register_alerts(client, receivers)
    found = _automations(client)["Tally: a run failed"]
    for name in ("Tally: a former alert", "Tally: a run failed", "Not by this project"):
        client.create_automation(_copy(found, name=name))
    lines = register_alerts(client, receivers)
    assert "automation 'Tally: a former alert': removed" in lines
    assert len(_automations(client)) == len(ALERTS)
    assert len(client.read_automations_by_name("Tally: a run failed")) == 1
    (other,) = client.read_automations_by_name("Not by this project")
    client.delete_automation(other.id)


@pytest.mark.parametrize("copies", [1, 2])
def test_an_automation_of_an_earlier_version_is_renamed_and_stays_off(client: SyncPrefectClient, copies: int) -> None:
    name = CRASH_SILENT_RUNS.name
    former = CRASH_SILENT_RUNS.model_copy(update={"name": FORMER_NAMES[name], "enabled": False})
    try:
        for _ in range(copies):
            client.create_automation(former)
        assert ensure_automation(client, CRASH_SILENT_RUNS) == f"automation {name!r}: updated"
        assert client.read_automations_by_name(FORMER_NAMES[name]) == []
        (found,) = client.read_automations_by_name(name)
        assert not found.enabled
        assert ensure_automation(client, CRASH_SILENT_RUNS) == f"automation {name!r}: up to date"
    finally:
        for known in (name, FORMER_NAMES[name]):
            for each in client.read_automations_by_name(known):
                client.delete_automation(each.id)


def test_removed_settings_remove_the_automations_and_the_blocks(
    client: SyncPrefectClient, receivers: dict[str, str]
) -> None:
    register_alerts(client, receivers)
    register_alerts(client, {"ALERT_WEBHOOK_URL": receivers["ALERT_WEBHOOK_URL"]})
    assert {len(automation.actions) for automation in _automations(client).values()} == {1}
    lines = register_alerts(client, {})
    assert "alerts: off, because neither ALERT_WEBHOOK_URL nor ALERT_EMAIL_TO is set" in lines
    assert f"block {WEBHOOK}: removed" in lines
    assert _automations(client) == {}
    assert register_alerts(client, {}) == lines[-1:]


def test_no_secret_is_readable_on_the_server(client: SyncPrefectClient, receivers: dict[str, str]) -> None:
    settings = {**receivers, "SMTP_USER": "mailer@example.org", "SMTP_PASSWORD": "p@ss/m1lk"}
    lines = register_alerts(client, settings)
    shown = "\n".join(lines) + "".join(x.model_dump_json() for x in client.read_automations())
    for name, slug in ((WEBHOOK, "webhook"), (EMAIL, "slack-webhook")):
        block = client.read_block_document_by_name(name, slug, include_secrets=False)
        shown += block.model_dump_json()
    assert "hook-secret" not in shown
    assert "m1lk" not in shown


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ALERT_WEBHOOK_URL": "hooks.example.org/secret"}, "ALERT_WEBHOOK_URL .*http://"),
        ({"ALERT_EMAIL_TO": "nobody"}, "ALERT_EMAIL_TO .*e-mail addresses"),
        ({"ALERT_EMAIL_TO": "a@example.org"}, "needs SMTP_HOST"),
        ({"ALERT_LATE_SECONDS": "9"}, "ALERT_LATE_SECONDS .*greater than or equal to 10"),
        ({"SMTP_PORT": "many"}, "SMTP_PORT "),
        ({"ALERT_WEBHOK_URL": "http://example.org"}, "unknown variable ALERT_WEBHOK_URL"),
    ],
)
def test_invalid_settings_are_refused_without_their_values(variables: dict[str, str], message: str) -> None:
    with pytest.raises(SystemExit, match=message) as error:
        read_alerts(variables)
    assert "secret" not in str(error.value)


def test_the_address_of_the_mail_server_keeps_special_characters() -> None:
    settings = read_alerts(
        {
            "ALERT_EMAIL_TO": "a@example.org,b+c@example.org",
            "SMTP_HOST": "mail.example.org",
            "SMTP_USER": "user@example.org",
            "SMTP_PASSWORD": "p:/@?#",
        }
    )
    assert settings.mail_url.get_secret_value() == (
        "mailtos://user%40example.org:p%3A%2F%40%3F%23@mail.example.org:587/?smtp=mail.example.org&mode=starttls"
        "&from=a%40example.org&to=a%40example.org%2Cb%2Bc%40example.org&format=text"
    )
