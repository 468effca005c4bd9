"""Each error that Prefect deploys without a warning fails the lint."""

import copy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from declared_fixtures import Declare
from sample_dataset import THINGS

from deployments import lint, work_pools
from flows.backfill import PIPELINES, backfill

ROOT = Path(__file__).resolve().parents[2]

FLOWS = """
from typing import Annotated
from prefect import flow
from pydantic import Field

@flow(name="sample-monthly")
def monthly(month: Annotated[str, Field(pattern="^[0-9]{4}-[0-9]{2}$")] | None = None, top: int = 10) -> None: ...

@flow(name="sample-profile")
def profile(source: str) -> None: ...

not_a_flow = 1
"""

GOOD = """
name: sample
definitions: {}
build:
  - prefect_docker.deployments.steps.build_docker_image:
      id: build-image
      requires: prefect-docker
      image_name: sample
      tag: "1"
      pull: false
      buildargs: {BASE_IMAGE: "{{ $BASE_IMAGE }}"}
pull:
  - prefect.deployments.steps.set_working_directory: {directory: /opt/sample}
deployments:
  - name: sample-monthly
    entrypoint: sample_flows.monthly
    tags: [tally, sample]
    parameters: {top: 5}
    concurrency_limit: {limit: 1, collision_strategy: ENQUEUE}
    schedules:
      - {cron: "0 10 1 * *", timezone: UTC, slug: monthly}
    work_pool:
      name: tally-docker
      job_variables:
        image: "{{ build-image.image }}"
        image_pull_policy: Never
        env: {LEVEL: "1"}
  - name: sample-profile
    entrypoint: sample_flows.profile
    tags: [tally]
    work_pool: {name: tally-process}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    (tmp_path / "sample_flows.py").write_text(FLOWS)
    (tmp_path / "Dockerfile").write_text("ARG BASE_IMAGE=debian\nFROM ${BASE_IMAGE:-debian}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    parsed: dict[str, Any] = yaml.safe_load(GOOD)
    return parsed


def put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """An edit that puts a value at a place, in the manner of `deployments.0.name`."""

    def edit(config: dict[str, Any]) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
        place: Any = config
        for part in parents:
            place = place[part]
        place[last] = value

    return edit


def drop(path: str) -> Callable[[dict[str, Any]], None]:
    def edit(config: dict[str, Any]) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
        place: Any = config
        for part in parents:
            place = place[part]
        del place[last]

    return edit


def repeat_schedule(config: dict[str, Any]) -> None:
    schedules = config["deployments"][0]["schedules"]
    schedules.append(copy.deepcopy(schedules[0]))


MONTHLY = "deployments/0"
VARIABLES = f"{MONTHLY}/work_pool/job_variables"
IMAGE_STEP = "build/0/prefect_docker.deployments.steps.build_docker_image"


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        pytest.param(put("deploymentz", []), "deploymentz: unknown key", id="unknown-key-at-the-top"),
        pytest.param(put(f"{MONTHLY}/schedulez", []), "schedulez: unknown key", id="unknown-key-of-a-deployment"),
        pytest.param(
            put(f"{MONTHLY}/work_pool/queue", "x"), "work_pool.queue: unknown key", id="unknown-key-of-a-pool"
        ),
        pytest.param(
            put(f"{MONTHLY}/concurrency_limit/strategy", "ENQUEUE"),
            "concurrency_limit.strategy: unknown key",
            id="unknown-key-of-a-concurrency-limit",
        ),
        pytest.param(
            put(f"{MONTHLY}/schedules/0/tz", "UTC"), "schedules.0.tz: Extra inputs", id="unknown-key-of-a-schedule"
        ),
        pytest.param(put(f"{IMAGE_STEP}/dockerfil", "x"), "dockerfil: expected one of", id="unknown-input-of-a-step"),
        pytest.param(put("push", [{"no.such.step": {}}]), "no.such.step is not a step", id="step-that-does-not-import"),
        pytest.param(put(f"{MONTHLY}/tags", ["sample"]), "tags: expected the tag tally", id="no-tag-for-alerts"),
        pytest.param(drop("deployments/1/tags"), "sample-profile.tags: expected the tag tally", id="no-tags"),
        pytest.param(put("pull", []), "pull: expected a step, found none", id="no-pull-step"),
        pytest.param(
            put("deployments/1/pull", []), "sample-profile.pull: expected a step", id="no-pull-step-of-its-own"
        ),
        pytest.param(
            put(f"{VARIABLES}/memory", "1g"), "job_variables.memory: expected one of", id="unknown-job-variable"
        ),
        pytest.param(
            put("deployments/1/work_pool/job_variables", {"image": "x"}),
            "job_variables.image: expected one of",
            id="job-variable-of-another-type-of-pool",
        ),
        pytest.param(
            put(f"{VARIABLES}/env", {"LEVEL": 1}), "job_variables.env: 1 is not", id="job-variable-of-wrong-type"
        ),
        pytest.param(
            put(f"{VARIABLES}/image_pull_policy", "never"),
            "job_variables.image_pull_policy",
            id="job-variable-with-an-unknown-value",
        ),
        pytest.param(put(f"{MONTHLY}/work_pool/name", "mine"), "work_pool.name: expected one of", id="unknown-pool"),
        pytest.param(drop(f"{MONTHLY}/work_pool"), "work_pool: expected a mapping", id="no-pool"),
        pytest.param(
            put(f"{MONTHLY}/entrypoint", "sample_flows.yearly"), "AttributeError", id="entrypoint-that-does-not-exist"
        ),
        pytest.param(
            put(f"{MONTHLY}/entrypoint", "no_such_module.monthly"),
            "ModuleNotFoundError",
            id="entrypoint-that-does-not-import",
        ),
        pytest.param(
            put(f"{MONTHLY}/entrypoint", "sample_flows.not_a_flow"),
            "expected a flow, found int",
            id="entrypoint-no-flow",
        ),
        pytest.param(
            put(f"{MONTHLY}/entrypoint", "sample_flows.py:monthly"),
            "expected a module entrypoint",
            id="entrypoint-of-a-file",
        ),
        pytest.param(put(f"{MONTHLY}/name", "monthly"), "expected the flow's name", id="name-other-than-the-flows"),
        pytest.param(put(f"{MONTHLY}/parameters/mont", "2021-02"), "parameters.mont: expected", id="unknown-parameter"),
        pytest.param(put(f"{MONTHLY}/parameters/top", "ten"), "parameters.top: 'ten'", id="parameter-of-wrong-type"),
        pytest.param(
            put(f"{MONTHLY}/parameters/month", "2021-2"), "parameters.month", id="parameter-that-breaks-a-pattern"
        ),
        pytest.param(
            put(f"{MONTHLY}/schedules/0/parameters", {"top": "ten"}),
            "schedules.parameters.top",
            id="schedules-parameter-of-wrong-type",
        ),
        pytest.param(
            put("deployments/1/schedules", [{"cron": "0 1 * * *", "timezone": "UTC", "slug": "daily"}]),
            "expected values for source",
            id="schedule-without-a-required-parameter",
        ),
        pytest.param(drop(f"{MONTHLY}/schedules/0/slug"), "expected a slug", id="schedule-without-slug"),
        pytest.param(drop(f"{MONTHLY}/schedules/0/timezone"), "expected a timezone", id="schedule-without-timezone"),
        pytest.param(repeat_schedule, "each slug once, found 'monthly' 2 times", id="slug-twice"),
        pytest.param(put(f"{MONTHLY}/schedules/0/cron", "0 25 1 * *"), "schedules.0.cron", id="cron-that-never-comes"),
        pytest.param(put(f"{MONTHLY}/schedules/0/timezone", "Mars"), "schedules.0.timezone", id="unknown-timezone"),
        pytest.param(put(f"{MONTHLY}/schedule", {"cron": "0 1 * * *"}), "expected `schedules`", id="old-schedule-key"),
        pytest.param(put("deployments/1/name", "sample-monthly"), "expected each name once", id="name-twice"),
        pytest.param(
            put(f"{MONTHLY}/concurrency_limit/collision_strategy", "WAIT"),
            "concurrency_limit.collision_strategy",
            id="unknown-collision-strategy",
        ),
        pytest.param(put(f"{MONTHLY}/concurrency_limit/limit", 0), "expected a number greater", id="limit-of-nothing"),
        pytest.param(put(f"{MONTHLY}/paused", "perhaps"), "paused", id="value-that-prefect-cannot-read"),
        pytest.param(
            put(f"{VARIABLES}/env", {"LEVEL": "{{ $NO_SUCH_NAME }}"}),
            "expected NO_SUCH_NAME in the environment",
            id="environment-not-set",
        ),
        pytest.param(
            put(f"{IMAGE_STEP}/buildargs", {"OTHER": "{{ $OTHER }}"}),
            "expected OTHER in the environment",
            id="build-argument-without-default",
        ),
        pytest.param(put(f"{VARIABLES}/image", "{{ build.image }}"), "is not the output", id="output-of-no-step"),
        pytest.param(
            put(f"{VARIABLES}/env", {"DB_PASSWORD": "hunter2"}), "the name suggests a secret", id="secret-by-name"
        ),
        pytest.param(
            put(f"{VARIABLES}/env", {"URL": "postgresql://me:hunter2@db/x"}),
            "a secret in plain text",
            id="url-with-password",
        ),
        pytest.param(
            put(f"{VARIABLES}/env", {"WAREHOUSE": "{{ $WAREHOUSE_DSN }}"}),
            "in plain text. Load the block in the run",
            id="secret-of-the-environment",
        ),
        pytest.param(
            put(f"{VARIABLES}/env", {"X": "{{ prefect.blocks.secret.x }}"}),
            "in plain text. Load the block in the run",
            id="secret-of-a-block",
        ),
    ],
)
def test_lint_names_the_error_when_there_is_one(
    config: dict[str, Any], tmp_path: Path, edit: Callable[[dict[str, Any]], None], expected: str
) -> None:
    edit(config)
    found = lint.errors(config, root=tmp_path, environ={"WAREHOUSE_DSN": "set"})
    assert any(expected in error for error in found), found
    assert "hunter2" not in "".join(found)


def test_lint_is_silent_when_there_is_no_error(config: dict[str, Any], tmp_path: Path) -> None:
    assert lint.errors(config, root=tmp_path, environ={}) == []


def test_projects_file_has_no_error_in_a_bare_environment() -> None:
    assert lint.errors(lint.load(ROOT / "prefect.yaml"), root=ROOT, environ={}) == []


def test_flow_may_have_more_deployments_under_other_names(config: dict[str, Any], tmp_path: Path) -> None:
    again = copy.deepcopy(config["deployments"][0]) | {"name": "sample-of-the-night"}
    config["deployments"].append(again)
    assert lint.errors(config, root=tmp_path, environ={}) == []


def test_every_pipeline_with_partitions_has_a_daily_catch_up() -> None:
    deployments = lint.load(ROOT / "prefect.yaml")["deployments"]
    catch_ups = [one for one in deployments if one["name"].startswith("catch-up-")]
    assert sorted(one["parameters"]["pipeline"] for one in catch_ups) == sorted(each.name for each in PIPELINES)
    for one in catch_ups:
        assert lint.flow_of(one) is backfill
        assert [schedule["cron"].split()[2:] for schedule in one["schedules"]] == [["*", "*", "*"]]
        assert one["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}


def test_image_is_tagged_with_the_projects_version() -> None:
    [step] = lint.load(ROOT / "prefect.yaml")["build"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert step["prefect_docker.deployments.steps.build_docker_image"]["tag"] == version


def test_template_hands_settings_to_runs_but_no_secret(declare: Declare) -> None:
    declare(THINGS)
    environ = {"THINGS_PREFIX": "in/", "WAREHOUSE_DSN": "host=db password=hunter2", "TALLY_NETWORKS": "one, two"}
    properties = work_pools.job_template("docker", environ)["variables"]["properties"]
    assert properties["env"]["default"] == {"THINGS_PREFIX": "in/", "PREFECT_HOME": "/home/tally/.prefect"}
    assert properties["networks"]["default"] == ["one", "two"]
