"""Pages of the Prefect UI in Chromium."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from playwright.sync_api import Page, sync_playwright
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey

# Chromium must work without a graphics card and must not connect to the internet.
OPTIONS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
OPTIONS += ["--disable-component-update", "--disable-sync"]


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
