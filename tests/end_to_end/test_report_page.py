"""A report in the Prefect UI, in Chromium."""

from pathlib import Path

import pytest
from playwright.sync_api import expect
from prefect import flow
from prefect.runtime import flow_run

from end_to_end.browser_pages import browser_page, open_report, rows_of_table
from tasks.report import publish_answers

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


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
