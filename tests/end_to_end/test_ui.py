"""Test the Prefect UI in Chromium: fill in the form of a deployment, follow the run, and read its report."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from events_oracle import EventsFile, top
from playwright.sync_api import Page, expect, sync_playwright
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    DeploymentFilter,
    DeploymentFilterId,
)
from prefect.runtime import flow_run

from end_to_end.docker_pool import DEPLOYMENT, TIMEOUT, assert_loaded_once
from tasks.report import publish_answers

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

QUESTIONS = {"countries": "country", "users": "user", "companies": "company", "dates": "date"}
# Chromium must work without a graphics card and must not connect to the internet.
OPTIONS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
OPTIONS += ["--disable-component-update", "--disable-sync"]
ENDED = re.compile("^(Completed|Failed|Crashed|Cancelled|TimedOut)$")


@contextmanager
def browser_page(chromium: str, folder: Path) -> Iterator[Page]:
    """Yield an empty page.

    This is not a fixture, because Prefect cannot save blocks while Playwright uses the thread's event loop.
    """
    # Playwright starts Chromium with --no-sandbox, which root requires. Chromium opens pages of the local server only.
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=chromium, args=OPTIONS) as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.set_default_timeout(60_000)
        try:
            yield page
        except BaseException:
            page.screenshot(path=folder / "page.png", full_page=True)
            print(f"Screenshot of {page.url}: {folder / 'page.png'}")
            raise


def fill_in(page: Page, prefect_server: str, month: str) -> UUID:
    """Open the form of the deployment, enter a month, and return the deployment's id."""
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(DEPLOYMENT).id
    page.goto(f"{prefect_server.removesuffix('/api')}/deployments/deployment/{deployment}/run")
    page.get_by_role("button", name="str", exact=True).click()
    page.get_by_role("group").get_by_role("textbox").fill(month)
    return deployment


def open_report(page: Page, prefect_server: str, key: str, run: str) -> None:
    """Open the Markdown artifact of a run with the given key."""
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]), flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(run)]))
    with get_client(sync_client=True) as client:
        [report] = client.read_artifacts(artifact_filter=wanted)
    page.goto(f"{prefect_server.removesuffix('/api')}/artifacts/artifact/{report.id}")


def rows_of_table(page: Page, column: str) -> list[list[str]]:
    """Return the visible rows of the table that has the given column."""
    table = page.get_by_role("table").filter(has=page.get_by_role("columnheader", name=column, exact=True))
    read = "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
    rows: list[list[str]] = table.locator("tbody tr").evaluate_all(read)
    return rows


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
        banner = page.get_by_role("banner")
        expect(banner.get_by_text(ENDED)).to_have_text("Completed", timeout=TIMEOUT * 1000)
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


@pytest.mark.docker
def test_form_rejects_an_invalid_month(
    month: tuple[str, EventsFile], prefect_server: str, chromium: str, tmp_path: Path
) -> None:
    with browser_page(chromium, tmp_path) as page, get_client(sync_client=True) as client:
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        deployment = fill_in(page, prefect_server, "2021-13")
        chosen = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
        before = {run.id for run in client.read_flow_runs(deployment_filter=chosen) if not run.auto_scheduled}
        page.get_by_role("button", name="Submit").click()
        expect(page.get_by_text("'2021-13' is not valid")).to_be_visible()
        after = {run.id for run in client.read_flow_runs(deployment_filter=chosen) if not run.auto_scheduled}
        assert after == before
        assert not [url for url in requests if url.endswith("/create_flow_run")]
        assert page.url.endswith(f"/{deployment}/run")


def test_report_shows_values_that_look_like_markdown_unchanged(
    prefect_server: str, chromium: str, tmp_path: Path
) -> None:
    values = ["*Ger*many", "_a_@x.de", "a_b_c@x.de", "`q`", "~~s~~", "# x", "1 < 2 > 0", "<b>y</b>", "&amp;", "a | b"]
    values += ["back\\|slash", "[x](http://host.invalid)", "![i](http://host.invalid/i.png)", "<http://host.invalid>"]

    @flow(name="markdown-probe")
    def publish() -> str:
        publish_answers(
            "markdown-probe", "Probe", "", {"names": [(value, 1_234) for value in values]}, counted="events"
        )
        return str(flow_run.id)

    run = publish()
    with browser_page(chromium, tmp_path) as page:
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        open_report(page, prefect_server, "markdown-probe", run)
        expect(page.get_by_role("img", name="Events by names")).to_be_visible()
        assert rows_of_table(page, "names") == [[value.replace("\n", " "), "1,234"] for value in values]
        assert not [url for url in requests if "host.invalid" in url]
