"""An emulator of AWS with the stack of deployments/aws/tally.yaml."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deployments.local.s3_service import AccessKey, S3Server, client

TEMPLATE = Path(__file__).resolve().parents[2] / "deployments/aws/tally.yaml"
SERVICES = "s3,iam,sts,secretsmanager,cloudformation,ec2,ecs,ecr,rds,logs,sqs,events,eks"


class AwsEmulator(S3Server):
    """The S3 server with the services of the template. It starts no containers."""

    root: AccessKey

    def _environment(self, root: AccessKey) -> dict[str, str]:
        self.root = root
        return super()._environment(root) | {"SERVICES": SERVICES, "DOCKER_HOST": "unix:///nowhere"}

    def client(self, service: str, key: AccessKey | None = None) -> Any:
        """A client with the administrator's key or another one."""
        return client(service, self.endpoint_url, key or self.administrator_key)

    def user_with(self, name: str, policies: list[str], statements: str | None = None) -> AccessKey:
        """The key of a new user who has only these managed policies and this policy document."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        for policy in policies:
            iam.attach_user_policy(UserName=name, PolicyArn=policy)
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=statements)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return AccessKey(made["AccessKeyId"], made["SecretAccessKey"])


def emulated_template() -> str:
    """The template without the one value that the emulator cannot convert: it takes a parameter's number for text."""
    text = TEMPLATE.read_text()
    number = "DesiredCount: !Ref WorkerCount"
    assert text.count(number) == 1
    return text.replace(number, "DesiredCount: 0")


@contextmanager
def deployed_stack(folder: Path, **parameters: str) -> Iterator[tuple[AwsEmulator, dict[str, str]]]:
    """Deploy the template into a new account with a VPC.

    Yields:
        The emulator, and the outputs of the stack by their descriptions, which are variables.
    """
    aws = AwsEmulator(folder)
    aws.start()
    try:
        ec2 = aws.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
            for number, zone in enumerate(("us-east-1a", "us-east-1b"))
        ]
        given = {"VpcId": vpc, "SubnetIds": ",".join(subnets), **parameters}
        stacks = aws.client("cloudformation")
        stacks.create_stack(
            StackName="tally",
            TemplateBody=emulated_template(),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
        )
        deadline = time.monotonic() + 120
        while (stack := stacks.describe_stacks(StackName="tally")["Stacks"][0])["StackStatus"] == "CREATE_IN_PROGRESS":
            assert time.monotonic() < deadline, "the stack was not created"
            time.sleep(0.1)
        failed = [
            (event["LogicalResourceId"], event.get("ResourceStatusReason"))
            for event in stacks.describe_stack_events(StackName="tally")["StackEvents"]
            if event["ResourceStatus"].endswith("FAILED")
        ]
        assert (stack["StackStatus"], failed) == ("CREATE_COMPLETE", [])
        yield aws, {output["Description"]: output["OutputValue"] for output in stack["Outputs"]}
    finally:
        aws.stop()
