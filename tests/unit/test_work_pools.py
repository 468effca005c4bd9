"""Each work pool's job template is valid for its worker, for Kubernetes' schema and for the API of ECS."""

import copy
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
import kubernetes_validate
import pytest
import yaml
from botocore.validate import ParamValidator
from declared_fixtures import Declare
from prefect.client.schemas.objects import Flow, FlowRun
from prefect.utilities.templating import apply_values
from prefect.workers.base import BaseWorker
from prefect_aws.workers.ecs_worker import ECSJobConfiguration, ECSWorker
from sample_dataset import THINGS

from deployments import lint, work_pools
from deployments.work_pools import POOLS, Pool, WorkPoolError, job_template, onto_pool
from tasks.contracts.settings import Setting
from tasks.contracts.source import Source

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "arn:aws:iam::123456789012"
SECRETS = "arn:aws:secretsmanager:eu-west-1:123456789012:secret"
IMAGE = "registry.example.com:5000/tally"

ENVIRONMENT = {
    "TALLY_IMAGE": IMAGE,
    "LAKE_BUCKET": "lake",
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "hunter2",
    "WAREHOUSE_DSN": "postgresql://tally:hunter2@db/tally",
    "PREFECT_API_AUTH_STRING": "admin:hunter2",
    "TALLY_ECS_CLUSTER": "tally",
    "TALLY_ECS_SUBNETS": "subnet-1, subnet-2",
    "TALLY_ECS_SECURITY_GROUPS": "sg-1",
    "TALLY_ECS_TASK_ROLE": f"{ACCOUNT}:role/run",
    "TALLY_ECS_EXECUTION_ROLE": f"{ACCOUNT}:role/start",
    "TALLY_ECS_WAREHOUSE_SECRET": f"{SECRETS}:warehouse",
    "TALLY_ECS_PREFECT_AUTH_SECRET": f"{SECRETS}:prefect",
    "TALLY_ECS_LOG_GROUP": "/tally",
}
CLUSTER_POOLS: list[Pool] = ["kubernetes", "ecs"]
KUBERNETES_VERSIONS = ("1.28", "1.32", "1.37")


def flow_run() -> FlowRun:
    return FlowRun(id=uuid.uuid4(), name="Brave-Otter", flow_id=uuid.uuid4(), deployment_id=uuid.uuid4())


def configured(template: dict[str, Any], **job_variables: Any) -> dict[str, Any]:
    """Fill in a job template as a worker does: defaults, then a deployment's job variables."""
    variables = {
        name: copy.deepcopy(schema["default"])
        for name, schema in template["variables"]["properties"].items()
        if schema.get("default") is not None
    }
    filled: dict[str, Any] = apply_values(template["job_configuration"], variables | job_variables)
    return filled


def kubernetes_job(environ: dict[str, str], **job_variables: Any) -> dict[str, Any]:
    from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration  # slow to import

    filled = configured(job_template("kubernetes", environ), image=f"{IMAGE}:1", **job_variables)
    configuration = KubernetesWorkerJobConfiguration.model_validate(filled)
    run = flow_run()
    configuration.prepare_for_flow_run(run, flow=Flow(id=run.flow_id, name="things-monthly"))
    return configuration.job_manifest


def ecs_requests(environ: dict[str, str], **job_variables: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    filled = configured(job_template("ecs", environ), image=f"{IMAGE}:1", **job_variables)
    configuration = ECSJobConfiguration.model_validate(filled)
    run = flow_run()
    configuration.env["PREFECT_API_AUTH_STRING"] = "admin:hunter2"  # the worker's own
    configuration.prepare_for_flow_run(run, flow=Flow(id=run.flow_id, name="things-monthly"))
    worker = ECSWorker(work_pool_name=POOLS["ecs"])
    definition = worker._prepare_task_definition(configuration, "eu-west-1", run)
    arn = "arn:aws:ecs:eu-west-1:123456789012:task-definition/tally:1"
    return definition, worker._prepare_task_run_request(configuration, definition, arn, True)


def without_prefects_keys(job: dict[str, Any]) -> dict[str, Any]:
    """The manifest without the two keys that Prefect's worker asks for in the wrong place. Kubernetes ignores them."""
    pod = job["spec"]["template"]["spec"]
    assert (pod.pop("parallelism"), pod.pop("completions")) == (1, 1)
    return job


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_job_of_a_run_is_valid_for_kubernetes(version: str) -> None:
    job = without_prefects_keys(kubernetes_job(ENVIRONMENT))
    assert kubernetes_validate.validate(job, version, strict=True) == version


def test_schema_of_kubernetes_refuses_an_unknown_key() -> None:
    with pytest.raises(kubernetes_validate.ValidationError, match="parallelism"):
        kubernetes_validate.validate(kubernetes_job(ENVIRONMENT), KUBERNETES_VERSIONS[-1], strict=True)


def test_run_on_kubernetes_has_equal_requests_and_limits_and_no_rights_of_root() -> None:
    environ = ENVIRONMENT | {"TALLY_RUN_CPU": "500m", "TALLY_RUN_MEMORY": "3Gi", "TALLY_RUN_DISK": "9Gi"}
    pod = kubernetes_job(environ)["spec"]["template"]["spec"]
    [container] = pod["containers"]
    limits = {"cpu": "500m", "memory": "3Gi", "ephemeral-storage": "9Gi"}
    assert container["resources"] == {"requests": limits, "limits": limits}
    assert pod["securityContext"]["runAsNonRoot"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    uid = pod["securityContext"]["runAsUser"]
    assert f"useradd --uid {uid} " in (ROOT / "Dockerfile").read_text()


def test_kubernetes_starts_no_run_a_second_time_and_an_evicted_run_is_scheduled_again() -> None:
    job = kubernetes_job(ENVIRONMENT)
    assert job["spec"]["backoffLimit"] == 0
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert {"name": "PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR", "value": "reschedule"} in container["env"]


def test_run_on_kubernetes_gets_secrets_by_reference_and_a_role_by_its_service_account() -> None:
    environ = ENVIRONMENT | {"TALLY_KUBERNETES_SECRET": "warehouse", "TALLY_KUBERNETES_SERVICE_ACCOUNT": "loader"}
    job = kubernetes_job(environ)
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "warehouse"}}]
    assert pod["serviceAccountName"] == "loader"
    assert "hunter2" not in str(job)


def check_request(operation: str, request: dict[str, Any]) -> str:
    """Errors of a request to ECS according to the model of the API; empty without errors."""
    model = botocore.session.get_session().get_service_model("ecs")
    return ParamValidator().validate(request, model.operation_model(operation).input_shape).generate_report()


def test_requests_of_a_run_are_valid_for_the_api_of_ecs() -> None:
    definition, request = ecs_requests(ENVIRONMENT)
    assert check_request("RegisterTaskDefinition", definition) == ""
    assert check_request("RunTask", request) == ""
    assert "Unknown parameter" in check_request("RunTask", request | {"subnets": []})


def test_run_on_ecs_gets_secrets_by_reference_and_roles_instead_of_keys() -> None:
    definition, request = ecs_requests(ENVIRONMENT)
    [container] = definition["containerDefinitions"]
    assert container["secrets"] == [
        {"name": "WAREHOUSE_DSN", "valueFrom": f"{SECRETS}:warehouse"},
        {"name": "PREFECT_API_AUTH_STRING", "valueFrom": f"{SECRETS}:prefect"},
    ]
    assert (definition["taskRoleArn"], definition["executionRoleArn"]) == (
        f"{ACCOUNT}:role/run",
        f"{ACCOUNT}:role/start",
    )
    assert "hunter2" not in f"{definition}{request}"


def test_run_on_ecs_may_use_its_whole_task_and_runs_in_private_subnets() -> None:
    environ = ENVIRONMENT | {"TALLY_RUN_CPU": "2048", "TALLY_RUN_MEMORY": "4096", "TALLY_RUN_DISK": "50"}
    definition, request = ecs_requests(environ)
    [container] = definition["containerDefinitions"]
    assert (definition["cpu"], definition["memory"]) == ("2048", "4096")
    assert (container["cpu"], container["memory"]) == (2048, 4096)
    assert definition["ephemeralStorage"] == {"sizeInGiB": 50}
    assert request["networkConfiguration"]["awsvpcConfiguration"] == {
        "subnets": ["subnet-1", "subnet-2"],
        "securityGroups": ["sg-1"],
        "assignPublicIp": "DISABLED",
    }


def test_spot_capacity_is_asked_for_by_its_provider() -> None:
    _, request = ecs_requests(ENVIRONMENT | {"TALLY_ECS_LAUNCH_TYPE": "FARGATE_SPOT"})
    assert "launchType" not in request
    assert request["capacityProviderStrategy"] == [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]


@pytest.mark.parametrize("pool", CLUSTER_POOLS)
def test_runs_of_a_cluster_get_names_as_variables_but_no_secret(declare: Declare, pool: Pool) -> None:
    buckets = [Setting(f"ERP_{kind}_BUCKET", f"erp-{kind}", "Bucket") for kind in ("CSV", "PARQUET")]
    declare(THINGS, Source("erp", (), *buckets))
    template = job_template(
        pool, ENVIRONMENT | {"THINGS_PREFIX": "in/", "ERP_SECRET": "login", "ERP_CSV_BUCKET": "c", "ERP_DSN": "hunter2"}
    )
    assert template["variables"]["properties"]["env"]["default"] == {
        "THINGS_PREFIX": "in/",
        "LAKE_BUCKET": "lake",
        "ERP_SECRET": "login",
        "ERP_CSV_BUCKET": "c",
        "AWS_REGION": "eu-west-1",
        "PREFECT_HOME": "/home/tally/.prefect",
    }
    assert "hunter2" not in str(template)
    assert "AKIA" not in str(template)


@pytest.mark.parametrize("pool", CLUSTER_POOLS)
def test_template_has_only_keys_that_the_worker_reads(pool: Pool) -> None:
    worker = BaseWorker.get_worker_class_from_type(pool)
    assert worker
    assert job_template(pool, ENVIRONMENT)["job_configuration"].keys() <= worker.job_configuration.model_fields.keys()


@pytest.mark.parametrize("pool", CLUSTER_POOLS)
def test_memory_of_a_run_covers_a_load(pool: Pool) -> None:
    default = work_pools.job_variables(pool)["memory"]["default"]
    mebibytes = int(str(default).removesuffix("Mi"))
    docker = lint.load(ROOT / "prefect.yaml")["definitions"]["job_variables"]["mem_limit"]
    assert mebibytes >= int(docker.removesuffix("m"))


@pytest.mark.parametrize("pool", POOLS)
def test_moved_file_has_no_error(pool: Pool) -> None:
    moved = onto_pool(lint.load(ROOT / "prefect.yaml"), pool, ENVIRONMENT)
    assert lint.errors(moved, root=ROOT, environ={}) == []
    assert {deployment["work_pool"]["name"] for deployment in moved["deployments"]} == {f"tally-{pool}"}


@pytest.mark.parametrize("pool", ["docker", *CLUSTER_POOLS])
def test_image_is_built_and_pushed_under_the_name_of_the_repository(pool: Pool) -> None:
    moved = onto_pool(lint.load(ROOT / "prefect.yaml"), pool, ENVIRONMENT)
    [built] = moved["build"][0].values()
    [pushed] = moved["push"][0].values()
    assert built["image_name"] == IMAGE
    assert pushed == {"image_name": "{{ build-image.image_name }}", "tag": "{{ build-image.tag }}"}
    variables = moved["deployments"][0]["work_pool"]["job_variables"]
    assert variables["image"] == "{{ build-image.image }}"
    assert variables.get("image_pull_policy", "Always") == "Always"


@pytest.mark.parametrize("suffix", [":1.2", "@sha256:" + "0" * 64])
@pytest.mark.parametrize("pool", ["docker", *CLUSTER_POOLS])
def test_image_with_a_tag_is_used_as_it_is(pool: Pool, suffix: str) -> None:
    environ = ENVIRONMENT | {"TALLY_IMAGE": IMAGE + suffix}
    moved = onto_pool(lint.load(ROOT / "prefect.yaml"), pool, environ)
    assert moved["build"] == moved["push"] == []
    assert {one["work_pool"]["job_variables"]["image"] for one in moved["deployments"]} == {IMAGE + suffix}
    assert lint.errors(moved, root=ROOT, environ={}) == []


def test_docker_pool_without_a_registry_keeps_the_file() -> None:
    config = lint.load(ROOT / "prefect.yaml")
    moved = onto_pool(config, "docker", {})
    assert moved == {key: value for key, value in config.items() if key != "definitions"}


@pytest.mark.parametrize("pool", CLUSTER_POOLS)
def test_cluster_without_an_image_in_a_registry_is_refused(pool: Pool) -> None:
    with pytest.raises(WorkPoolError, match="expected TALLY_IMAGE in the environment, found none"):
        onto_pool(lint.load(ROOT / "prefect.yaml"), pool, ENVIRONMENT | {"TALLY_IMAGE": " "})


def test_all_missing_settings_are_named_at_once() -> None:
    environ = ENVIRONMENT | {"TALLY_ECS_CLUSTER": "", "LAKE_BUCKET": "", "TALLY_ECS_LOG_GROUP": " "}
    with pytest.raises(WorkPoolError, match="expected LAKE_BUCKET, TALLY_ECS_CLUSTER, TALLY_ECS_LOG_GROUP in the env"):
        job_template("ecs", environ)


@pytest.mark.parametrize(
    ("pool", "variable", "value"),
    [
        ("ecs", "TALLY_RUN_CPU", "3"),
        ("ecs", "TALLY_RUN_MEMORY", "2 GB"),
        ("ecs", "TALLY_RUN_DISK", "20"),
        ("ecs", "TALLY_ECS_LAUNCH_TYPE", "EC2"),
        ("ecs", "TALLY_ECS_SUBNETS", ","),
        ("kubernetes", "TALLY_RUN_MEMORY", "1536m"),  # 1.5 bytes
        ("kubernetes", "TALLY_RUN_CPU", "one"),
    ],
)
def test_invalid_setting_is_refused_by_name(pool: Pool, variable: str, value: str) -> None:
    with pytest.raises(WorkPoolError, match=f"^{variable} is invalid"):
        job_template(pool, ENVIRONMENT | {variable: value})


def put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(content: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        for parent in parents:
            content = content[parent]
        content[last] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (put("job_configuration/cluster", "{{ cluster_name }}"), "uses the unknown variable 'cluster_name'"),
        (put("variables/properties/spare", {"type": "string"}), "variable 'spare' is used nowhere"),
        (put("settings/TALLY_X", {"sets": "cpus"}), "TALLY_X sets 'cpus', which is not a variable"),
        (put("variables/properties/cpu/default", 3), "default of cpu: 3 is not one of"),
        (put("job_configuration/env", {"PASSWORD": "postgresql://me:hunter2@db/x"}), "a secret in plain text"),
    ],
)
def test_lint_names_an_error_of_a_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: Callable[[dict[str, Any]], None], expected: str
) -> None:
    content = yaml.safe_load((ROOT / "deployments/pools/ecs.yaml").read_text())
    edit(content)
    (tmp_path / "ecs.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setattr(work_pools, "FOLDER", tmp_path)
    found = list(work_pools.errors())
    assert any(expected in error for error in found), found
    assert "hunter2" not in "".join(found)


def test_projects_templates_have_no_error() -> None:
    assert list(work_pools.errors()) == []


@pytest.fixture
def worker_manifests() -> dict[str, dict[str, Any]]:
    """The objects of the Kubernetes worker's file, by kind and name."""
    documents = yaml.safe_load_all((ROOT / "deployments/kubernetes/worker.yaml").read_text())
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in documents}


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_worker_is_valid_for_kubernetes(worker_manifests: dict[str, dict[str, Any]], version: str) -> None:
    for manifest in worker_manifests.values():
        assert kubernetes_validate.validate(manifest, version, strict=True) == version


def test_worker_has_the_locked_version_and_its_pool(worker_manifests: dict[str, dict[str, Any]]) -> None:
    [container] = worker_manifests["Deployment/tally-worker"]["spec"]["template"]["spec"]["containers"]
    locked = re.search(r"^prefect==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked
    assert container["image"] == f"prefecthq/prefect:{locked[1]}-python3.11-kubernetes"
    assert POOLS["kubernetes"] in container["args"]
    defaults = work_pools.job_variables("kubernetes")
    assert f"ServiceAccount/{defaults['service_account_name']['default']}" in worker_manifests


def test_worker_passes_the_login_of_the_server_by_reference(
    worker_manifests: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect_kubernetes.settings import KubernetesSettings  # slow to import

    [container] = worker_manifests["Deployment/tally-worker"]["spec"]["template"]["spec"]["containers"]
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable.get("value", "tally"))
    settings = KubernetesSettings()
    reference = next(one for one in container["env"] if one["name"] == "PREFECT_API_AUTH_STRING")["valueFrom"]
    assert settings.worker.api_auth_string_secret_name == reference["secretKeyRef"]["name"]
    assert settings.worker.api_auth_string_secret_key == reference["secretKeyRef"]["key"]
    assert settings.observer.namespaces == {"tally"}


def test_worker_can_read_no_secret(worker_manifests: dict[str, dict[str, Any]]) -> None:
    rules = worker_manifests["Role/tally-worker"]["rules"]
    assert not [rule for rule in rules if {"secrets", "*"} & {*rule["resources"], *rule["verbs"], *rule["apiGroups"]}]
