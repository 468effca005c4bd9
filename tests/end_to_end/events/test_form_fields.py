"""The fields, choices and errors of forms in the Prefect UI, in Chromium. No run starts."""

import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from end_to_end.browser_pages import browser_page
from playwright.sync_api import Page, expect
from prefect import Flow, flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.utilities.callables import parameter_schema

from flows.backfill import backfill
from flows.events_monthly import events_monthly
from flows.plan import plan
from tasks.contracts.catalog import contracts
from tasks.parameters import AsOf

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@flow
def as_of_probe(as_of: AsOf = None) -> None:
    """Has a field for a date."""
    del as_of


def deployed(flow: Flow[..., Any]) -> UUID:
    """Create a deployment without a work pool, with the schema that `prefect deploy` sends."""
    schema = parameter_schema(flow).model_dump_for_openapi()
    with get_client(sync_client=True) as client:
        known = client.create_flow(flow)
        return client.create_deployment(
            known, f"form-{flow.name}", parameter_openapi_schema=schema, enforce_parameter_schema=True
        )


def open_form(page: Page, prefect_server: str, deployment: UUID) -> None:
    page.goto(f"{prefect_server.removesuffix('/api')}/deployments/deployment/{deployment}/run")
    expect(page.get_by_role("button", name="Submit")).to_be_visible()


def submit(page: Page) -> Any:
    with page.expect_response(re.compile("/create_flow_run$")) as answer:
        page.get_by_role("button", name="Submit").click()
    return answer.value


def runs_of(deployment: UUID) -> int:
    chosen = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    with get_client(sync_client=True) as client:
        return len(client.read_flow_runs(deployment_filter=chosen))


def test_forms_open_ready_to_type_and_explain_errors(prefect_server: str, chromium: str, tmp_path: Path) -> None:
    month, day = map(deployed, (events_monthly, as_of_probe))
    with browser_page(chromium, tmp_path) as page:
        open_form(page, prefect_server, month)
        field = page.locator("textarea").first
        field.fill("2021-4")
        assert not submit(page).ok
        expect(page.get_by_text("expected YYYY-MM, for example 2021-04").first).to_be_visible()
        assert runs_of(month) == 0
        field.fill("")
        assert submit(page).ok
        assert runs_of(month) == 1

        open_form(page, prefect_server, day)
        expect(page.get_by_text("Select date")).to_be_visible()


def test_choices_are_listed_and_a_backfill_has_no_default_pipeline() -> None:
    dataset, pipeline = (parameter_schema(flow).model_dump_for_openapi() for flow in (plan, backfill))
    assert dataset["properties"]["dataset"]["enum"] == sorted(contracts())
    assert "events-monthly" in pipeline["properties"]["pipeline"]["enum"]
    assert pipeline["required"] == ["pipeline"]
