"""What somebody does who has only the Prefect UI: fill in the form, follow the run, read its report. In Chromium."""

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

from end_to_end.docker_pool import DEPLOYMENT, PATIENCE, assert_loaded_once
from tasks.report import publish_answers

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

QUESTIONS = {"countries": "country", "users": "user", "companies": "company", "dates": "date"}
# No graphics card, and no calls home.
OPTIONS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
OPTIONS += ["--disable-component-update", "--disable-sync"]
ENDED = re.compile("^(Completed|Failed|Crashed|Cancelled|TimedOut)$")


@contextmanager
def browser_page(chromium: str, folder: Path) -> Iterator[Page]:
    """An empty page. No fixture: while Playwright holds the thread's event loop, Prefect's blocks cannot be saved."""
    # Playwright starts it with --no-sandbox, without which root cannot; it opens no pages but our own server's.
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=chromium, args=OPTIONS) as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.set_default_timeout(60_000)
        try:
            yield page
        except BaseException:
            page.screenshot(path=folder / "page.png", full_page=True)
            print(f"{page.url} looked like this: {folder / 'page.png'}")
            raise


def fill_in(page: Page, prefect_server: str, month: str) -> UUID:
    """Open the form of the deployment and enter a month; returns the deployment's id."""
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(DEPLOYMENT).id
    page.goto(f"{prefect_server.removesuffix('/api')}/deployments/deployment/{deployment}/run")
    page.get_by_role("button", name="str", exact=True).click()
    page.get_by_role("group").get_by_role("textbox").fill(month)
    return deployment


def open_report(page: Page, prefect_server: str, key: str, run: str) -> None:
    """Open the Markdown artifact that a run made under a key."""
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]), flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(run)]))
    with get_client(sync_client=True) as client:
        [report] = client.read_artifacts(artifact_filter=wanted)
    page.goto(f"{prefect_server.removesuffix('/api')}/artifacts/artifact/{report.id}")


def rows_of_table(page: Page, column: str) -> list[list[str]]:
    """The rows of the table with a column, as they are read on the page."""
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
        # In the deployment's list of runs; the notice that slides in is there twice, one above the other.
        page.locator(f"a[href$='/runs/flow-run/{run}']").first.click()
        page.wait_for_url(re.compile(f"/runs/flow-run/{run}"))
        banner = page.get_by_role("banner")
        expect(banner.get_by_text(ENDED)).to_have_text("Completed", timeout=PATIENCE * 1000)
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
            # 0 where the browser could not draw it.
            expect(chart).not_to_have_js_property("naturalWidth", 0)
            expect(chart).to_be_visible()


@pytest.mark.docker
def test_form_refuses_what_is_no_month(
    month: tuple[str, EventsFile], prefect_server: str, chromium: str, tmp_path: Path
) -> None:
    with browser_page(chromium, tmp_path) as page, get_client(sync_client=True) as client:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        deployment = fill_in(page, prefect_server, "2021-13")
        ours = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
        before = {run.id for run in client.read_flow_runs(deployment_filter=ours) if not run.auto_scheduled}
        page.get_by_role("button", name="Submit").click()
        expect(page.get_by_text("'2021-13' is not valid")).to_be_visible()
        after = {run.id for run in client.read_flow_runs(deployment_filter=ours) if not run.auto_scheduled}
        assert after == before
        assert not [url for url in asked if url.endswith("/create_flow_run")]
        assert page.url.endswith(f"/{deployment}/run")


def test_report_shows_values_as_they_are_when_they_look_like_markdown(
    prefect_server: str, chromium: str, tmp_path: Path
) -> None:
    values = ["*Ger*many", "_a_@x.de", "a_b_c@x.de", "`q`", "~~s~~", "# x", "1 < 2 > 0", "<b>y</b>", "&amp;", "a | b"]
    values += ["back\\|slash", "[x](http://host.invalid)", "![i](http://host.invalid/i.png)", "<http://host.invalid>"]

    @flow(name="markdown-probe")
    def publish() -> str:
        publish_answers("markdown-probe", "Probe", "", {"names": [(value, 1_234) for value in values]})
        return str(flow_run.id)

    run = publish()
    with browser_page(chromium, tmp_path) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        open_report(page, prefect_server, "markdown-probe", run)
        expect(page.get_by_role("img", name="Events by names")).to_be_visible()
        assert rows_of_table(page, "names") == [[value.replace("\n", " "), "1,234"] for value in values]
        assert not [url for url in asked if "host.invalid" in url]
