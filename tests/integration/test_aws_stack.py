"""The CloudFormation stack, in an emulator of AWS: what it creates, its rights, and a run's task on its cluster.

The emulator checks signatures and policies as AWS does. It does not start Postgres, containers or a real network.
"""

import json
import logging
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_emulator import TEMPLATE, AwsEmulator, deployed_stack
from botocore.exceptions import ClientError
from prefect.client.schemas.objects import Flow, FlowRun
from prefect.utilities.templating import apply_values
from prefect_aws.workers.ecs_worker import ECSJobConfiguration, ECSWorker
from sample_source import OFFICE

from deployments import lake_setup
from deployments.local.s3_service import REGION, AccessKey
from deployments.work_pools import POOLS, job_template
from tasks.contracts import catalog
from tasks.engine.doctor.bucket import BUCKET_CHECKS, Bucket
from tasks.engine.errors import LakeSetupError
from tasks.engine.lake.client import Lake
from tasks.engine.lake.setup import STORE_PREFIX, check_lake_setup, marker_of
from tasks.engine.settings import LakeSettings
from tasks.engine.sync.run_store import RunStore

ROOT = Path(__file__).resolve().parents[2]
PREFECT_LOGIN = "arn:aws:secretsmanager:us-east-1:000000000000:secret:prefect"
BUCKETS = ("LAKE_BUCKET", "TOTESYS_CSV_BUCKET", "TOTESYS_PARQUET_BUCKET")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AwsEmulator, dict[str, str]]]:
    """The emulator and the stack's outputs. The policies that refuse requests without TLS are tested and removed."""
    folder = tmp_path_factory.mktemp("aws")
    parameters = {"PrefectApiUrl": "http://prefect/api", "PrefectAuthSecretArn": PREFECT_LOGIN}
    with deployed_stack(folder, **parameters) as (aws, outputs):
        for variable in BUCKETS:
            with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
                aws.client("s3").list_objects_v2(Bucket=outputs[variable])
            aws.client("s3", aws.root).delete_bucket_policy(Bucket=outputs[variable])
        yield aws, outputs


@pytest.fixture(scope="module")
def run_key(stack: tuple[AwsEmulator, dict[str, str]]) -> AccessKey:
    """The key of a user with the rights of the task role, and no others."""
    aws, outputs = stack
    role = outputs["TALLY_ECS_TASK_ROLE"].rpartition("/")[2]
    attached = aws.client("iam").list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    return aws.user_with("run", [policy["PolicyArn"] for policy in attached])


def lake_of(aws: AwsEmulator, key: AccessKey, bucket: str) -> Lake:
    return Lake(
        LakeSettings.model_validate(
            {
                "bucket": bucket,
                "endpoint_url": aws.endpoint_url,
                "access_key_id": key.key_id,
                "secret_access_key": key.secret,
                "region": REGION,
            }
        )
    )


def test_outputs_are_settings_of_tally(stack: tuple[AwsEmulator, dict[str, str]]) -> None:
    _, outputs = stack
    example = (ROOT / "deployments/.env.example").read_text()
    assert [name for name in outputs if not re.search(rf"^#?{name}=", example, re.MULTILINE)] == []
    job_template("ecs", outputs)  # all required settings are among them


@pytest.mark.parametrize("variable", BUCKETS)
def test_buckets_are_versioned_encrypted_and_private(stack: tuple[AwsEmulator, dict[str, str]], variable: str) -> None:
    aws, outputs = stack
    s3, bucket = aws.client("s3"), outputs[variable]
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    [rule] = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert list(blocked.values()) == [True] * 4


def test_postgres_is_encrypted_private_backed_up_and_protected(stack: tuple[AwsEmulator, dict[str, str]]) -> None:
    aws, _ = stack
    [warehouse] = aws.client("rds").describe_db_instances()["DBInstances"]
    assert warehouse["StorageEncrypted"]
    assert not warehouse["PubliclyAccessible"]
    assert warehouse["DeletionProtection"]
    assert warehouse["BackupRetentionPeriod"] == 14
    [group] = [one["DBParameterGroupName"] for one in warehouse["DBParameterGroups"]]
    pages = aws.client("rds").get_paginator("describe_db_parameters").paginate(DBParameterGroupName=group)
    values = {one["ParameterName"]: one.get("ParameterValue") for page in pages for one in page["Parameters"]}
    assert values["rds.force_ssl"] == "1"
    assert values["max_wal_size"] == "4096"


def test_secret_of_the_warehouse_is_a_dsn_with_the_generated_password(
    stack: tuple[AwsEmulator, dict[str, str]],
) -> None:
    aws, outputs = stack
    manager = aws.client("secretsmanager")
    dsn = manager.get_secret_value(SecretId=outputs["TALLY_ECS_WAREHOUSE_SECRET"])["SecretString"]
    names = [one["Name"] for one in manager.list_secrets()["SecretList"]]
    [login] = [manager.get_secret_value(SecretId=name) for name in names if "WarehouseLogin" in name]
    password = json.loads(login["SecretString"])["password"]
    assert dsn.startswith(f"postgresql://tally:{password}@")
    assert re.search(r"\.rds\.amazonaws\.com:5432/tally\?sslmode=require$", dsn)


def refused(action: Callable[[], object]) -> bool:
    """Whether the policies refuse the action."""
    with pytest.raises(ClientError) as caught:
        action()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403), caught.value
    return "not authorized" in str(caught.value) or "AccessDenied" in str(caught.value)


def test_role_of_a_run_reads_the_lake_and_writes_exports_only(
    stack: tuple[AwsEmulator, dict[str, str]], run_key: AccessKey
) -> None:
    aws, outputs = stack
    bucket = outputs["LAKE_BUCKET"]
    aws.client("s3").put_object(Bucket=bucket, Key="2021/04/things.csv", Body=b"id\n1\n")
    s3 = aws.client("s3", run_key)
    with lake_of(aws, run_key, bucket) as lake:
        [stored] = lake.list("2021/")
        assert b"".join(lake.read(stored.key, stored.version)) == b"id\n1\n"
        for prefix in (outputs["EXPORT_PREFIX"], outputs["ORDERS_OUTPUT_PREFIX"]):
            lake.write(f"{prefix}default/things.csv", iter([b"x" * (9 << 20)]), "text/csv")
            upload = s3.create_multipart_upload(Bucket=bucket, Key=f"{prefix}default/dead.csv")["UploadId"]
            lake.abort_uploads(prefix)
            assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket, Prefix=prefix), upload
    assert refused(lambda: s3.put_object(Bucket=bucket, Key="2021/04/things.csv", Body=b"id\n2\n"))
    assert refused(lambda: s3.delete_object(Bucket=bucket, Key="2021/04/things.csv"))
    assert refused(lambda: s3.delete_object(Bucket=bucket, Key=f"{outputs['EXPORT_PREFIX']}default/things.csv"))
    assert refused(lambda: s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}))
    assert refused(lambda: s3.create_bucket(Bucket="another"))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_role_of_a_run_copies_a_source_but_erases_no_version(
    stack: tuple[AwsEmulator, dict[str, str]], run_key: AccessKey, kind: Any
) -> None:
    aws, outputs = stack
    bucket = outputs[f"TOTESYS_{kind.upper()}_BUCKET"]
    with lake_of(aws, run_key, bucket) as lake:
        store = RunStore(lake, kind)
        store.write(1, "department", iter([b"x" * (9 << 20)]))
        store.mark_complete(1)
        assert store.latest_run() == 1
        store.abort_uploads(1)
        store.move_processed(1, ["department"])
        assert store.files(1) == {}
    versions = aws.client("s3").list_object_versions(Bucket=bucket, Prefix=store.key(1, "department"))["Versions"]
    s3 = aws.client("s3", run_key)
    assert refused(lambda: s3.delete_object(Bucket=bucket, Key=versions[0]["Key"], VersionId=versions[0]["VersionId"]))
    assert refused(lambda: s3.delete_object(Bucket=bucket, Key=store.key(1, "department", "processed")))


def test_role_of_a_run_reads_the_logins_of_sources_and_no_other_secret(
    stack: tuple[AwsEmulator, dict[str, str]], run_key: AccessKey
) -> None:
    aws, outputs = stack
    manager = aws.client("secretsmanager", run_key)
    assert "password" in json.loads(manager.get_secret_value(SecretId=outputs["TOTESYS_SECRET"])["SecretString"])
    assert refused(lambda: manager.get_secret_value(SecretId=outputs["TALLY_ECS_WAREHOUSE_SECRET"]))
    assert refused(lambda: manager.put_secret_value(SecretId=outputs["TOTESYS_SECRET"], SecretString="{}"))


@pytest.mark.parametrize("variable", BUCKETS)
def test_doctor_finds_the_rights_of_a_run_sufficient(
    stack: tuple[AwsEmulator, dict[str, str]], run_key: AccessKey, variable: str
) -> None:
    aws, outputs = stack
    prefix = outputs["EXPORT_PREFIX"] if variable == "LAKE_BUCKET" else STORE_PREFIX
    with lake_of(aws, run_key, outputs[variable]) as lake:
        bucket = Bucket(lake, variable, prefix, aws.endpoint_url)
        found = [finding for check in BUCKET_CHECKS for finding in check.run(bucket)]
    assert [finding for finding in found if finding.outcome == "problem"] == []


def test_markers_make_the_stores_a_correct_installation(
    stack: tuple[AwsEmulator, dict[str, str]], run_key: AccessKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws, outputs = stack
    monkeypatch.setattr(catalog, "sources", lambda: {OFFICE.name: OFFICE})
    environ = {
        "LAKE_BUCKET": outputs["LAKE_BUCKET"],
        "OFFICE_CSV_BUCKET": outputs["TOTESYS_CSV_BUCKET"],
        "OFFICE_PARQUET_BUCKET": outputs["TOTESYS_PARQUET_BUCKET"],
    }

    def check() -> None:
        for kind in ("csv", "parquet"):
            with lake_of(aws, run_key, environ[f"OFFICE_{kind.upper()}_BUCKET"]) as lake:
                check_lake_setup(lake, STORE_PREFIX, marker_of(kind))

    with pytest.raises(LakeSetupError, match=r"python -m deployments\.lake_setup"):
        check()
    said = list(lake_setup.set_up(aws.client("s3"), environ))
    assert len(said) == 5
    assert [line.rpartition(": ")[2] for line in said] == ["exists"] * 3 + ["written"] * 2
    check()
    assert all(line.endswith(": exists") for line in lake_setup.set_up(aws.client("s3"), environ))


def ecs_configuration(environ: dict[str, str], run: FlowRun) -> ECSJobConfiguration:
    template = job_template("ecs", environ)
    variables = {
        name: schema["default"]
        for name, schema in template["variables"]["properties"].items()
        if schema.get("default") is not None
    }
    filled = apply_values(template["job_configuration"], variables | {"image": f"{environ['TALLY_IMAGE']}:0.1.0"})
    configuration = ECSJobConfiguration.model_validate(filled)
    configuration.prepare_for_flow_run(run, flow=Flow(id=run.flow_id, name="things-monthly"))
    return configuration


def test_worker_starts_a_run_on_the_cluster_with_its_own_rights(stack: tuple[AwsEmulator, dict[str, str]]) -> None:
    aws, outputs = stack
    iam = aws.client("iam")
    [role] = [one["RoleName"] for one in iam.list_roles()["Roles"] if "WorkerRole" in one["RoleName"]]
    policy = iam.get_role_policy(RoleName=role, PolicyName="work")["PolicyDocument"]
    [start] = [one for one in policy["Statement"] if one["Action"] == "ecs:RunTask"]
    # For AWS, the resource of RunTask is the task definition, and the cluster a condition. For the emulator, the
    # resource is the cluster.
    assert list(start.pop("Condition")["ArnEquals"]) == ["ecs:cluster"]
    assert start["Resource"].endswith(":task-definition/tally-run:*")
    start["Resource"] = f"arn:aws:ecs:*:*:cluster/{outputs['TALLY_ECS_CLUSTER']}"
    ecs = aws.client("ecs", aws.user_with("worker", [], json.dumps(policy)))
    worker, logger = ECSWorker(work_pool_name=POOLS["ecs"]), logging.getLogger("test")
    tasks = []
    for _ in range(2):  # of two deployments
        run = FlowRun(id=uuid.uuid4(), name="run", flow_id=uuid.uuid4(), deployment_id=uuid.uuid4())
        arn, _ = worker._prepare_and_create_task(logger, ecs, ecs_configuration(outputs, run), run)
        tasks.append(arn)
    found = aws.client("ecs").describe_tasks(cluster=outputs["TALLY_ECS_CLUSTER"], tasks=tasks)["tasks"]
    [definition] = {task["taskDefinitionArn"] for task in found}
    assert definition.endswith("task-definition/tally-run:1")
    stored = ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]
    assert stored["taskRoleArn"] == outputs["TALLY_ECS_TASK_ROLE"]
    assert stored["ephemeralStorage"] == {"sizeInGiB": 21}
    secrets = {one["name"]: one["valueFrom"] for one in stored["containerDefinitions"][0]["secrets"]}
    assert secrets == {"WAREHOUSE_DSN": outputs["TALLY_ECS_WAREHOUSE_SECRET"], "PREFECT_API_AUTH_STRING": PREFECT_LOGIN}
    assert refused(lambda: ecs.delete_cluster(cluster=outputs["TALLY_ECS_CLUSTER"]))


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """The content of the template."""
    from cfnlint.decode import cfn_yaml  # slow to import

    content: dict[str, Any] = cfn_yaml.load(str(TEMPLATE))
    return content


def test_every_parameter_of_the_template_is_described(template: dict[str, Any]) -> None:
    assert [name for name, one in template["Parameters"].items() if not one.get("Description")] == []


def test_buckets_keep_no_unfinished_uploads(template: dict[str, Any]) -> None:
    """The emulator leaves the lifecycle of a bucket out."""
    buckets = [one for one in template["Resources"].values() if one["Type"] == "AWS::S3::Bucket"]
    assert len(buckets) == len(BUCKETS)
    for bucket in buckets:
        rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
        [days] = [rule["AbortIncompleteMultipartUpload"] for rule in rules if "AbortIncompleteMultipartUpload" in rule]
        assert days == {"DaysAfterInitiation": lake_setup.UPLOAD_DAYS}
        assert {rule["Status"] for rule in rules} == {"Enabled"}


def test_data_survives_the_removal_of_the_stack(template: dict[str, Any]) -> None:
    kept = ("AWS::S3::Bucket", "AWS::SecretsManager::Secret", "AWS::RDS::DBInstance", "AWS::ECR::Repository")
    for name, resource in template["Resources"].items():
        if resource["Type"] in kept:
            assert {resource["DeletionPolicy"], resource["UpdateReplacePolicy"]} <= {"Retain", "Snapshot"}, name


def test_roles_have_no_right_on_everything_but_three_actions_without_a_narrower_resource(
    template: dict[str, Any],
) -> None:
    wide = set()
    for resource in template["Resources"].values():
        properties = resource["Properties"]
        documents = [one["PolicyDocument"] for one in properties.get("Policies", [])]
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            documents.append(properties["PolicyDocument"])
        for statement in (one for document in documents for one in document["Statement"]):
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert not [action for action in actions if "*" in action]
            if statement["Resource"] == "*":
                wide |= set(actions)
    assert wide == {"ecr:GetAuthorizationToken", "ecs:RegisterTaskDefinition", "ecs:DescribeTaskDefinition"}
