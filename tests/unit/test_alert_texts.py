"""Alerts are documented, and their templates are valid."""

from pathlib import Path

import pytest
from prefect.server.events.actions import CallWebhook, SendNotification

from deployments.alert_settings import AlertSettings, read_alerts
from deployments.alerts import PREFIX, Alert, all_alerts, body_of

ROOT = Path(__file__).resolve().parents[2]
ALERTS = all_alerts(AlertSettings())


def _documented() -> list[str]:
    lines = (ROOT / "docs/alerts.md").read_text().splitlines()
    return [line.split("|")[1].strip() for line in lines if line.startswith("| ")][1:][1:]


def test_every_alert_has_a_row_in_the_documents_in_the_same_order() -> None:
    assert _documented() == [alert.name for alert in ALERTS]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name.replace(" ", "-"))
def test_the_template_of_an_alert_is_valid_and_has_a_next_step(alert: Alert) -> None:
    body = body_of(alert)
    assert body.startswith(f"{PREFIX}{alert.name}\n")
    assert "\nNext: " in body.replace("%}", "\n")
    for action in (CallWebhook, SendNotification):
        action.validate_template(body, "body")


def test_every_setting_is_in_the_documents() -> None:
    for file in ("deployments/.env.example", "deployments/README.md"):
        text = (ROOT / file).read_text()
        assert [name for name in AlertSettings.model_fields if name.upper() not in text] == []


def test_the_example_has_the_defaults() -> None:
    lines = (ROOT / "deployments/.env.example").read_text().splitlines()
    given = dict(line.lstrip("#").split("=", 1) for line in lines if line.startswith(("#ALERT_", "#SMTP_")))
    assert read_alerts(given) == AlertSettings()
