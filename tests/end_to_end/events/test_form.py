"""The form of a deployment in the Prefect UI, in Chromium: a run that it starts."""

import re
from pathlib import Path
from uuid import UUID

import pytest
from end_to_end.browser_pages import browser_page, open_report, rows_of_table
from end_to_end.docker_pool import wait_for_state
from end_to_end.events.loaded_month import DEPLOYMENT, assert_loaded_once
from events_oracle import EventsFile, top
from playwright.sync_api import Page, expect
from prefect.client.orchestration import get_client

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

QUESTIONS = {"countries": "country", "users": "user", "companies": "company", "dates": "date"}
ENDED = re.compile("^(Completed|Failed|Crashed|Cancelled|TimedOut)$")


def fill_in(page: Page, prefect_server: str, month: str) -> UUID:
    """Open the form of the deployment, enter a month, and return the deployment's id."""
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(DEPLOYMENT).id
    page.goto(f"{prefect_server.removesuffix('/api')}/deployments/deployment/{deployment}/run")
    page.locator("textarea").first.fill(month)
    return deployment


@pytest.mark.docker
def test_month_is_loaded_and_reported_when_submitted_in_the_form(
    month: tuple[str, EventsFile], database: str, bucket: str, prefect_server: str, chromium: str, tmp_path: Path
) -> None:
    name, expected = month
    with browser_page(chromium, tmp_path) as page:
        fill_in(page, prefect_server, name)
        with page.expect_response(re.compile("/create_flow_run$")) as answer:
            page.get_by_role("button", name="Submit").click()
        assert answer.value.ok, answer.value.text()
        run = answer.value.json()["id"]
        # The page has several links to the run: in the list of runs and in the notification.
        page.locator(f"a[href$='/runs/flow-run/{run}']").first.click()
        page.wait_for_url(re.compile(f"/runs/flow-run/{run}"))
        of_run = page.url
        page.goto("about:blank")  # an open page of a run sends many requests
        wait_for_state(run, "Completed")
        page.goto(of_run)
        banner = page.get_by_role("banner")
        expect(banner.get_by_text(ENDED)).to_have_text("Completed")
        assert_loaded_once(database, expected)

        open_report(page, prefect_server, "events-monthly", run)
        expect(page.get_by_role("heading", name=f"Events of {name}")).to_be_visible()
        numbers = [expected.rows_read, expected.rows_loaded, len(expected.rejected)]
        [load] = rows_of_table(page, "rejected")
        assert load[0].startswith(f"s3://{bucket}/")
        assert load[1:] == ["loaded", *(f"{number:,}" for number in numbers)]
        for question, group in QUESTIONS.items():
            answers = [[value, f"{count:,}"] for value, count in top(expected.counts(group), 10)]
            assert rows_of_table(page, question) == answers
            chart = page.get_by_role("img", name=f"Events by {question}")
            # The width is 0 if the browser could not draw the image.
            expect(chart).not_to_have_js_property("naturalWidth", 0)
            expect(chart).to_be_visible()
