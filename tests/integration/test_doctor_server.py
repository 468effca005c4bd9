"""The doctor's checks of the Prefect server: each with a sound and a broken object on a real server."""

import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import prefect
import pytest
from doctor_findings import only, outcome_of
from prefect.automations import AutomationCore, ChangeFlowRunState, EventTrigger, Posture
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.states import Scheduled
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deployments import doctor as command
from deployments.blocks import save_blocks
from flows.doctor import doctor
from tasks.doctor.automations import WantedAutomations, check_automations
from tasks.doctor.blocks import check_lake_block, check_source_blocks, check_warehouse_block
from tasks.doctor.clear_secrets import PLACES, check_secrets, known_secrets
from tasks.doctor.deployed import (
    check_deployments,
    check_image_names,
    check_limits,
    check_orphans,
    check_schedules,
)
from tasks.doctor.installation import examine_installation, examine_server
from tasks.doctor.pools import check_pools, check_queues, check_workers, worker_advice
from tasks.doctor.server import Server, check_server_version, server_clock
from tasks.engine.doctor.clocks import RemoteClock, check_clock

POOL, NAME = "tally-sample", "sampled"
CONFIG: dict[str, Any] = {
    "build": [{"step": {"image_name": "sample", "tag": "1"}}],
    "deployments": [
        {
            "name": NAME,
            "entrypoint": "flows.sampled.sampled",
            "parameters": {"top": 5},
            "enforce_parameter_schema": True,
            "schedules": [{"cron": "0 10 1 * *", "timezone": "UTC", "slug": "monthly"}],
            "concurrency_limit": {"limit": 2, "collision_strategy": "ENQUEUE"},
            "work_pool": {"name": POOL},
        }
    ],
}
MONTHLY = {"schedule": CronSchedule(cron="0 10 1 * *", timezone="UTC"), "slug": "monthly", "active": True}


@pytest.fixture
def client(prefect_server: str) -> Iterator[SyncPrefectClient]:
    del prefect_server
    with get_client(sync_client=True) as opened:
        yield opened


@pytest.fixture
def pool(client: SyncPrefectClient) -> Iterator[str]:
    client.create_work_pool(WorkPoolCreate(name=POOL, type="sample", base_job_template={}))
    yield POOL
    client.delete_work_pool(POOL)


def deploy(client: SyncPrefectClient, **changes: Any) -> UUID:
    flow = client.create_flow_from_name("sampled")
    values = {
        "flow_id": flow,
        "name": NAME,
        "entrypoint": "flows.sampled.sampled",
        "parameters": {"top": 5},
        "enforce_parameter_schema": True,
        "schedules": [MONTHLY],
        "concurrency_limit": 2,
        "concurrency_options": {"collision_strategy": "ENQUEUE"},
        "work_pool_name": POOL,
        "job_variables": {"image": "sample:1"},
    }
    return client.create_deployment(**(values | changes))


@pytest.fixture
def deployed(client: SyncPrefectClient, pool: str) -> Iterator[UUID]:
    del pool
    made = deploy(client)
    yield made
    for each in client.read_deployments():
        if each.work_pool_name == POOL or each.name == NAME:
            client.delete_deployment(each.id)


def server(client: SyncPrefectClient, config: Any = CONFIG) -> Server:
    """A new view of the server; each reads the server again."""
    return Server(client, config)


def test_version_is_compared(client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome_of(check_server_version, server(client)) == "ok"
    monkeypatch.setattr(prefect, "__version__", "3.99.0")
    assert "pip install prefect==3.99.0" in only(check_server_version(server(client)), "problem").next_step
    monkeypatch.setattr(prefect, "__version__", "2.20.0")
    assert outcome_of(check_server_version, server(client)) == "warning"


def test_clock_of_the_server_is_compared(client: SyncPrefectClient) -> None:
    read = server_clock(client)
    assert outcome_of(check_clock, RemoteClock("x", read)) == "ok"
    assert outcome_of(check_clock, RemoteClock("x", read, lambda: datetime.now(UTC) + timedelta(hours=1))) == "problem"


def test_missing_server_is_the_only_problem() -> None:
    for url, words in ((None, "PREFECT_API_URL is not set"), ("http://127.0.0.1:9/api", "does not answer")):
        with prefect.settings.temporary_settings({prefect.settings.PREFECT_API_URL: url}):
            reached, rest = examine_server(url, {})
        assert words in reached.finding.found
        assert reached.finding.outcome == "problem"
        assert rest.finding.outcome == "skipped"
        assert "work pools" in rest.finding.found


@pytest.mark.usefixtures("deployed")
def test_pool_is_compared(client: SyncPrefectClient) -> None:
    assert outcome_of(check_pools, server(client)) == "ok"
    client.update_work_pool(POOL, WorkPoolUpdate(is_paused=True))
    assert only(check_pools(server(client)), "problem").next_step == f".venv/bin/prefect work-pool resume {POOL}"
    client.update_work_pool(POOL, WorkPoolUpdate(is_paused=False, concurrency_limit=1))
    assert "at most 1 flows" in only(check_pools(server(client)), "warning").found


def test_missing_pool_and_pool_of_another_type_are_problems(client: SyncPrefectClient) -> None:
    assert f"work pool {POOL} does not exist" in only(check_pools(server(client)), "problem").found
    client.create_work_pool(WorkPoolCreate(name=POOL, type="other", base_job_template={}))
    try:
        found = only(check_pools(server(client)), "problem")
        assert f"work pool {POOL} has type other" in found.found
    finally:
        client.delete_work_pool(POOL)
    assert outcome_of(check_pools, server(client, {})) == "skipped"


def test_pool_without_a_live_worker_is_a_problem(client: SyncPrefectClient, deployed: UUID) -> None:
    command = f".venv/bin/prefect worker start --pool {POOL} --type sample"
    found = only(check_workers(server(client)), "problem")
    assert "the next run will wait" in found.found
    assert found.next_step == command
    assert command in worker_advice(client, POOL)
    due = datetime.now(UTC) - timedelta(minutes=5)
    run = client.create_flow_run_from_deployment(deployed, name="late-run", state=Scheduled(scheduled_time=due))
    assert "1 run waits: late-run" in only(check_workers(server(client)), "problem").found
    client.send_worker_heartbeat(POOL, "one", heartbeat_interval_seconds=30)
    assert "1 run of pool tally-sample should have started" in only(check_workers(server(client)), "warning").found
    client.delete_flow_run(run.id)
    assert outcome_of(check_workers, server(client)) == "ok"
    assert worker_advice(client, POOL) == ""
    assert "does not exist" in worker_advice(client, "tally-nowhere")


@pytest.mark.usefixtures("deployed")
def test_paused_queue_is_a_problem(client: SyncPrefectClient) -> None:
    assert outcome_of(check_queues, server(client)) == "ok"
    (queue,) = client.read_work_queues(work_pool_name=POOL)
    client.update_work_queue(queue.id, is_paused=True)
    assert f"resume default --pool {POOL}" in only(check_queues(server(client)), "problem").next_step


@pytest.mark.usefixtures("deployed")
def test_deployment_as_in_the_file_has_no_finding(client: SyncPrefectClient) -> None:
    for check in (check_deployments, check_schedules, check_orphans, check_image_names):
        assert outcome_of(check, server(client)) == "ok", check
        assert outcome_of(check, server(client, None)) == "skipped", check


@pytest.mark.usefixtures("pool")
def test_missing_deployment_is_a_problem(client: SyncPrefectClient) -> None:
    found = only(check_deployments(server(client)), "problem")
    assert found.found == f"not deployed: {NAME}"
    assert found.next_step == ".venv/bin/python -m deployments.register --pool sample --deploy"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"entrypoint": "flows.old.old"}, "entrypoint is flows.old.old and not flows.sampled.sampled"),
        ({"parameters": {"top": 6}}, "parameters is {'top': 6} and not {'top': 5}"),
        ({"enforce_parameter_schema": False}, "enforce_parameter_schema is False and not True"),
        ({"concurrency_limit": 9}, "concurrency limit is 9 and not 2"),
        ({"concurrency_limit": None}, "concurrency limit is None and not 2"),
        ({"concurrency_options": {"collision_strategy": "CANCEL_NEW"}}, "collision strategy is CANCEL_NEW and not"),
    ],
)
def test_deployment_that_differs_is_a_problem(
    client: SyncPrefectClient, deployed: UUID, changes: dict[str, Any], words: str
) -> None:
    client.delete_deployment(deployed)
    deploy(client, **changes)
    found = only(check_deployments(server(client)), "problem")
    assert words in found.found
    assert found.next_step == ".venv/bin/python -m deployments.register --pool sample --deploy"


@pytest.mark.usefixtures("deployed")
def test_paused_deployment_is_reported(client: SyncPrefectClient) -> None:
    deploy(client, paused=True)
    assert "is paused" in only(check_deployments(server(client)), "warning").found


@pytest.mark.parametrize(
    ("schedules", "outcome", "words"),
    [
        ([], "problem", "has no schedule monthly"),
        (
            [MONTHLY | {"schedule": CronSchedule(cron="5 10 1 * *", timezone="UTC")}],
            "problem",
            "cron is 5 10 1 * * and",
        ),
        (
            [MONTHLY | {"schedule": CronSchedule(cron="0 10 1 * *", timezone="Asia/Tokyo")}],
            "problem",
            "is Asia/Tokyo and",
        ),
        ([MONTHLY | {"active": False}], "warning", "schedule monthly of sampled/sampled is not active"),
        ([MONTHLY, {"schedule": CronSchedule(cron="1 1 * * *"), "slug": "old"}], "warning", "schedule old (1 1 * * *)"),
        ([MONTHLY, {"schedule": CronSchedule(cron="1 1 * * *")}], "warning", "schedule without a slug (1 1 * * *)"),
    ],
)
def test_schedules_are_compared(
    client: SyncPrefectClient, deployed: UUID, schedules: list[dict[str, Any]], outcome: Any, words: str
) -> None:
    client.delete_deployment(deployed)
    deploy(client, schedules=schedules)
    assert words in only(check_schedules(server(client)), outcome).found


@pytest.mark.usefixtures("deployed")
def test_left_over_deployment_is_named_with_its_schedules(client: SyncPrefectClient) -> None:
    deploy(client, name="renamed")
    found = only(check_orphans(server(client)), "warning")
    assert "deployment sampled/renamed on pool tally-sample is not in prefect.yaml; its schedules" in found.found
    assert found.next_step == ".venv/bin/prefect deployment delete sampled/renamed"


@pytest.mark.usefixtures("deployed")
def test_image_of_another_version_is_a_problem(client: SyncPrefectClient) -> None:
    deploy(client, job_variables={"image": "registry.example/team/sample:1"})
    assert outcome_of(check_image_names, server(client)) == "ok"
    deploy(client, job_variables={"image": "sample:0"})
    assert "sampled/sampled: sample:0" in only(check_image_names(server(client)), "problem").found
    deploy(client, job_variables={})
    assert outcome_of(check_image_names, server(client)) == "skipped"


@pytest.fixture
def limit(client: SyncPrefectClient) -> Iterator[str]:
    assert "does not exist" in only(check_limits(server(client)), "problem").found
    active = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    # Other tests left active runs on the server.
    for run in client.read_flow_runs(flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=active))):
        client.delete_flow_run(run.id)
    client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name="warehouse", limit=4))
    yield "warehouse"
    client.delete_global_concurrency_limit_by_name("warehouse")


@pytest.mark.parametrize(
    ("changes", "outcome", "words"),
    [
        ({}, "ok", "has 4 slots, 0 of them taken"),
        ({"active": False}, "warning", "is not active"),
        ({"limit": 0}, "problem", "has 0 slots"),
        ({"active_slots": 3}, "problem", "3 of 4 slots of limit warehouse are taken, and no run is active"),
    ],
)
def test_limit_is_checked(
    client: SyncPrefectClient, limit: str, changes: dict[str, Any], outcome: Any, words: str
) -> None:
    client.request("PATCH", "/v2/concurrency_limits/{id_or_name}", json=changes, path_params={"id_or_name": limit})
    assert words in only(check_limits(server(client)), outcome).found


@pytest.mark.usefixtures("limit")
def test_slots_of_active_runs_are_no_problem_and_other_limits_are_named(
    client: SyncPrefectClient, deployed: UUID
) -> None:
    client.request("PATCH", "/v2/concurrency_limits/warehouse", json={"active_slots": 2})
    run = client.create_flow_run_from_deployment(deployed)
    client.request("POST", f"/flow_runs/{run.id}/set_state", json={"state": {"type": StateType.RUNNING}, "force": True})
    assert "2 of them taken" in only(check_limits(server(client)), "ok").found
    client.delete_flow_run(run.id)
    client.request("PATCH", "/v2/concurrency_limits/warehouse", json={"active_slots": 0})
    client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name="other", limit=1))
    try:
        _, other = check_limits(server(client))
        assert other.next_step == ".venv/bin/prefect global-concurrency-limit delete other"
    finally:
        client.delete_global_concurrency_limit_by_name("other")


def automation(name: str, message: str = "x") -> AutomationCore:
    return AutomationCore(
        name=name,
        trigger=EventTrigger(expect={"sample.event"}, posture=Posture.Reactive, threshold=1, within=timedelta(0)),
        actions=[ChangeFlowRunState(name="Crashed", state=StateType.CRASHED, message=message)],
    )


def definition(each: AutomationCore) -> dict[str, Any]:
    return {"actions": [action.model_dump() for action in each.actions]}


def test_automations_are_compared(client: SyncPrefectClient) -> None:
    before = {each.id for each in client.read_automations()}
    wanted = WantedAutomations(lambda _: [automation("Sample alarm")], definition)

    def findings() -> list[Any]:
        own = check_automations(server(client), wanted)
        return [each for each in own if "Sample" in each.found or each.outcome == "ok"]

    try:
        assert "Sample alarm" in only(findings(), "problem").found
        first = client.create_automation(automation("Sample alarm"))
        if not before:
            only(findings(), "ok")
        second = client.create_automation(automation("Sample alarm"))
        assert "exists 2 times" in only(findings(), "warning").found
        client.delete_automation(second)
        client.update_automation(first, automation("Sample alarm", "changed"))
        assert "was changed" in only(findings(), "problem").found
        client.update_automation(first, automation("Sample alarm").model_copy(update={"enabled": False}))
        assert "switched off" in only(findings(), "warning").found
        client.update_automation(first, automation("Sample alarm").model_copy(update={"enabled": True}))
        client.create_automation(automation("Sample extra"))
        assert "not one of Tally's" in only(findings(), "warning").found
        assert "make doctor" in list(check_automations(server(client), None))[-1].next_step
    finally:
        for each in client.read_automations():
            if each.id not in before:
                client.delete_automation(each.id)


@pytest.mark.usefixtures("prefect_blocks")
def test_blocks_are_loaded_and_used(
    client: SyncPrefectClient, database: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for check, name in ((check_warehouse_block, "warehouse"), (check_lake_block, "lake")):
        assert f"block `{name}` cannot be used" in only(check(server(client)), "problem").found
    save_blocks(os.environ)
    for check in (check_warehouse_block, check_lake_block):
        assert outcome_of(check, server(client)) == "ok"
    save_blocks(os.environ | {"WAREHOUSE_DSN": make_conninfo(database, dbname="nowhere"), "LAKE_BUCKET": "no-such-one"})
    differs, broken = check_warehouse_block(server(client))
    assert differs.found == "block `warehouse` and WAREHOUSE_DSN differ in dbname"
    assert "no such database" in broken.found
    differs, broken = check_lake_block(server(client))
    assert differs.found == "block `lake` and the variables differ in bucket"
    assert "NoSuchBucket" in broken.found
    monkeypatch.delenv("WAREHOUSE_DSN")
    monkeypatch.delenv("LAKE_BUCKET")
    for check in (check_warehouse_block, check_lake_block):
        only(check(server(client)), "problem")
    del bucket


@pytest.mark.usefixtures("prefect_blocks")
def test_blocks_of_sources_are_found(client: SyncPrefectClient, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.contracts.catalog import sources

    del bucket  # it sets the environment
    for source in sources().values():
        monkeypatch.delenv(source.dsn_variable, raising=False)
        monkeypatch.delenv(source.secret_variable, raising=False)
    assert {each.outcome for each in check_source_blocks(server(client))} <= {"skipped"}
    for source in sources().values():
        monkeypatch.setenv(source.secret_variable, "login")
    assert {each.outcome for each in check_source_blocks(server(client))} <= {"warning"}
    save_blocks(os.environ)
    assert {each.outcome for each in check_source_blocks(server(client))} <= {"ok"}


SECRET = "correct-horse-battery"
URL = f"postgresql://tally:{SECRET}@db/tally"


@pytest.mark.parametrize("value", [SECRET, URL, {"nested": [{"deep": f"x {SECRET} y"}]}, "AKIAIOSFODNN7EXAMPLE"])
def test_secret_in_a_variable_is_found_and_not_repeated(client: SyncPrefectClient, value: Any) -> None:
    secrets = {SECRET: "the warehouse's password"}
    assert outcome_of(lambda each: check_secrets(each, "variables", secrets), server(client)) == "ok"
    client.request("POST", "/variables/", json={"name": "leak", "value": value})
    try:
        found = list(check_secrets(server(client), "variables", secrets))
        assert found
        assert all("variable leak" in each.found and each.outcome == "problem" for each in found)
        assert SECRET not in repr(found)
    finally:
        client.delete_variable_by_name("leak")


def test_secrets_are_found_everywhere(client: SyncPrefectClient, deployed: UUID) -> None:
    secrets = {SECRET: "the warehouse's password"}

    def places(name: str) -> str:
        return "".join(each.found for each in check_secrets(server(client), name, secrets) if each.outcome == "problem")

    for name in PLACES:
        assert places(name) == "", name
    template = {"job_configuration": {"env": {"DSN": URL}}, "variables": {"properties": {"env": {}}}}
    client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template))
    deploy(client, job_variables={"env": {"DSN": URL}}, parameters={"source": URL})
    run = client.create_flow_run_from_deployment(deployed, name="leaky", parameters={"source": URL})
    artifact = client.request("POST", "/artifacts/", json={"key": "leaky-report", "data": f"| {URL} |"}).json()["id"]
    log = {"name": "x", "level": 20, "message": f"connecting to {URL}", "timestamp": datetime.now(UTC).isoformat()}
    client.request("POST", "/logs/", json=[log | {"flow_run_id": str(run.id)}])
    assert f"work pool {POOL}, its job template (job_configuration.env.DSN)" in places("work pools")
    assert "deployment sampled/sampled, its job variables (env.DSN)" in places("deployments")
    assert "deployment sampled/sampled, its parameters (source)" in places("deployments")
    assert "run leaky, its parameters (source)" in places("recent runs")
    assert "artifact leaky-report" in places("recent artifacts")
    assert f"log of run {run.id}" in places("recent logs")
    client.delete_artifact(artifact)
    client.delete_flow_run(run.id)


@pytest.mark.usefixtures("prefect_blocks")
def test_secret_fields_of_blocks_are_no_finding(client: SyncPrefectClient, database: str, bucket: str) -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    del bucket
    save_blocks(os.environ)
    secrets = known_secrets()
    assert {"the warehouse's password", "the value of AWS_SECRET_ACCESS_KEY"} <= set(secrets.values())
    assert outcome_of(lambda each: check_secrets(each, "blocks", secrets), server(client)) == "ok"
    password = next(value for value, name in secrets.items() if name == "the warehouse's password")
    block = CustomWebhookNotificationBlock(name="x", url=f"https://user:{password}@hooks.example/x")
    block.save("leaky")
    try:
        found = list(check_secrets(server(client), "blocks", secrets))
        assert any("block leaky" in each.found for each in found)
        assert password not in repr(found)
    finally:
        CustomWebhookNotificationBlock.delete("leaky")


def test_report_of_the_command_names_problems_first_and_no_secret(
    prefect_server: str, database: str, bucket: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "examine_containers", lambda _: [])
    assert command.main([]) == 1
    text = capsys.readouterr().out
    assert text.startswith("Doctor: ")
    assert text.index("PROBLEM") < text.index("WARNING") < text.index("NOT APPLICABLE") < text.index("\nOK ")
    assert "found     block `warehouse` cannot be used" in text
    assert f"{prefect_server} answers" not in text  # only its name without --all
    assert command.main(["--all"]) == 1
    text = capsys.readouterr().out
    assert f"OK              Prefect server: reachable: {prefect_server} answers" in text
    for secret in (str(conninfo_to_dict(database)["password"]), os.environ["AWS_SECRET_ACCESS_KEY"]):
        assert secret not in text
    assert bucket in text
    assert logging.root.manager.disable == logging.NOTSET, "expected log lines after the command, as before it"


def test_command_uses_the_services_of_make_up(
    prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "env").write_text(f"export PREFECT_API_URL={prefect_server}\nexport WAREHOUSE_DSN='dbname=a b'\n")
    monkeypatch.setenv("WAREHOUSE_DSN", "kept")
    with command.stack_variables(tmp_path):
        assert prefect.settings.PREFECT_API_URL.value() == prefect_server  # the configured server counts
    monkeypatch.delenv("PREFECT_API_URL")
    with prefect.settings.temporary_settings({prefect.settings.PREFECT_API_URL: None}):
        with command.stack_variables(tmp_path / "none"):
            assert prefect.settings.PREFECT_API_URL.value() is None
        with command.stack_variables(tmp_path):
            assert prefect.settings.PREFECT_API_URL.value() == prefect_server
    assert os.environ["WAREHOUSE_DSN"] == "kept"
    assert "This command uses the services of `make up`" in capsys.readouterr().out


def test_flow_fails_with_the_first_problem_and_publishes_all_findings(
    client: SyncPrefectClient, database: str, bucket: str
) -> None:
    del database, bucket  # they set the environment
    state: Any = doctor(return_state=True)
    assert state.type == StateType.FAILED
    assert "First: Prefect server: " in state.message
    assert "The artifact `doctor` lists all findings" in state.message
    (artifact,) = client.request(
        "POST",
        "/artifacts/filter",
        json={"artifacts": {"key": {"any_": ["doctor"]}}, "sort": "CREATED_DESC", "limit": 1},
    ).json()
    text = str(artifact["data"])
    assert text.startswith("# Doctor: ")
    assert text.index("## Problems") < text.index("## Passed")
    assert "Next step:" in text


def test_misspelt_variable_ends_no_other_check(
    prefect_server: str, database: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del prefect_server, database, bucket  # they set the environment
    monkeypatch.setenv("EXPORT_PREFX", "x")
    results = examine_installation()
    (found,) = [each.finding for each in results if each.area == "Settings"]
    assert found.outcome == "problem"
    assert "Did you mean EXPORT_PREFIX?" in found.found
    assert {"Prefect server", "Warehouse", "Ledger"} <= {each.area for each in results}
