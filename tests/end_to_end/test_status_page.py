"""The status page in Chromium: it fits a phone and a desktop, follows the colour scheme, and loads nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from end_to_end.browser_pages import browser_page
from tasks.engine.status.facts import DatasetFacts, DueFacts, Facts, PartitionFacts, RejectionFacts, Schedule
from tasks.engine.status.page import status_page
from tasks.engine.status.summary import Summary

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

NOW = datetime(2026, 11, 26, 18, 40, tzinfo=UTC)
NAME = "a_dataset_with_a_name_that_is_rather_long_for_a_phone"
DATASET = DatasetFacts(NAME, "x", True, "day", "2026-11-25", 300, 1, 0, 1_234_567_890, 9, 9, NOW, 1e6, 123_456.7)
PARTITION = PartitionFacts(NAME, "", "loaded", 1_000, 0, 0, 0, None, None, None, None, None)
LONG = "s3://bucket/" + "folder-without-a-blank" * 8 + ".csv"


def facts() -> Facts:
    days = [f"{NOW - timedelta(days=back):%Y-%m-%d}" for back in range(300, 0, -1)]
    partitions = [replace(PARTITION, partition=day) for day in days]
    partitions[-1] = replace(
        partitions[-1],
        state="failed",
        failed_at=NOW,
        failed_attempt_id=1,
        failed_uri=LONG,
        error_class="ContractError",
        error_message=LONG,
    )
    partitions[5] = replace(partitions[5], state="rejected", rows_rejected=9, rows_unresolved=9, restatement_count=1)
    return Facts(
        NOW,
        [DATASET],
        partitions,
        [DueFacts(NAME, "2026-11-26", NOW, None, None, True, True)],
        [RejectionFacts(NAME, days[5], "column", "invalid_value", f"column: expected {LONG}", 9, NOW, LONG, [1, 2, 3])],
        schedules=[Schedule(f"{NAME}/{NAME}", NOW, "Completed", NOW)],
    )


def test_page_fits_its_screen_and_follows_the_colour_scheme(chromium: str, tmp_path: Path) -> None:
    file = tmp_path / "status.html"
    file.write_text(status_page(Summary(facts())), encoding="utf-8")
    with browser_page(chromium, tmp_path) as page:
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        colours = set()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            for width in (390, 1280):
                page.set_viewport_size({"width": width, "height": 900})
                page.goto(file.as_uri())
                assert page.evaluate("document.documentElement.scrollWidth") == width
                assert page.get_by_role("heading", name="3 problems need attention").is_visible()
                colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
                first = page.locator("article").first.bounding_box()
                assert first
                assert first["y"] < 400  # the first problem is visible without scrolling
        assert len(colours) == 2
        assert set(requests) == {file.as_uri()}
