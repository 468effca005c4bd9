"""A local S3 server: ministack as a child process that listens on the loopback interface and checks signatures."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from deployments.local.child_process import LOOPBACK, free_port, owned_folder, spawn, stop, wait_until_ready
from deployments.local.postgres_server import write_private

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REGION = "us-east-1"
_SERVER = Path(__file__).with_name("s3_server.py")

# The flows may read and write objects in existing buckets, list buckets, and read secrets. They may not create or
# remove buckets or users.
_FLOWS_MAY = [
    {
        "Effect": "Allow",
        "Action": [
            "s3:ListBucket",
            "s3:ListBucketVersions",
            "s3:ListBucketMultipartUploads",
            "s3:GetBucketLocation",
            "s3:GetBucketVersioning",
            "s3:GetObject",
            "s3:GetObjectVersion",
            "s3:GetObjectAttributes",
            "s3:GetObjectTagging",
            "s3:PutObject",
            "s3:PutObjectTagging",
            "s3:DeleteObject",
            "s3:AbortMultipartUpload",
            "s3:ListMultipartUploadParts",
        ],
        "Resource": "arn:aws:s3:::*",
    },
    {"Effect": "Allow", "Action": ["s3:ListAllMyBuckets"], "Resource": "*"},
    {"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"], "Resource": "*"},
]
_ADMINISTRATOR_MAY = [{"Effect": "Allow", "Action": "*", "Resource": "*"}]


@dataclass(frozen=True)
class AccessKey:
    """The key of an IAM user."""

    key_id: str
    secret: str = field(repr=False)


class S3Server:
    """An S3 server (with IAM, STS and Secrets Manager) that ends with this process.

    It has two IAM users: the flows use `tally`, which can read and write objects; `administrator` has all rights. The
    file `credentials.json` (mode 0600) stores their keys and the port. If the server itself crashes, the next start
    creates the users again with new keys. The objects survive.

    Args:
        folder: The folder for credentials, log, objects and secrets.
        log: The log file; by default `s3.log` in the folder.
    """

    def __init__(self, folder: Path, *, log: Path | None = None) -> None:
        self.folder = folder.absolute()
        self.log = log or self.folder / "s3.log"
        self._stack = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._keys: dict[str, AccessKey] = {}

    def __repr__(self) -> str:
        return f"S3Server({str(self.folder)!r}, port={self._port})"

    @property
    def endpoint_url(self) -> str:
        """The URL of the server."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def key(self) -> AccessKey:
        """The flows' key."""
        return self._keys["tally"]

    @property
    def administrator_key(self) -> AccessKey:
        """The key of the user `administrator`."""
        return self._keys["administrator"]

    @property
    def process_id(self) -> int | None:
        """The process id of the running server, else None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the server, wait until it responds, and create its users.

        Raises:
            ServiceError: The folder is in use, or the server does not start.
        """
        if self.process_id is not None:
            return
        self._stack.close()  # releases the lock if an earlier server process ended by itself
        with contextlib.ExitStack() as stack:
            descriptor = stack.enter_context(owned_folder(self.folder))
            self.folder.chmod(0o700)
            self._read_credentials()
            root = AccessKey(_new_root_key_id(), secrets.token_urlsafe(24))
            self._process = spawn(
                [sys.executable, "-I", _SERVER],
                environment=self._environment(root),
                log=self.log,
                keep_open=(descriptor,),
            )
            stack.callback(self._stop_process)
            wait_until_ready(self._process, self._answers, name="The S3 server", log=self.log)
            self._create_users(root)
            self._stack = stack.pop_all()

    def stop(self) -> None:
        """Stop the server. It writes users and secrets to the folder; the objects are already there."""
        self._stop_process()
        self._stack.close()

    def restart(self) -> None:
        """Stop the server and start it again on the same port with the same data."""
        self.stop()
        self.start()

    def version(self) -> str:
        """Return the name and version of the server, such as `ministack 1.5.33`."""
        health = f"{self.endpoint_url}/_ministack/health"
        with urllib.request.urlopen(health, timeout=5) as answer:  # noqa: S310 - a local HTTP URL
            return f"ministack {json.load(answer)['version']}"

    def _read_credentials(self) -> None:
        path = self.folder / "credentials.json"
        kept = json.loads(path.read_text()) if path.exists() else {}
        self._port = free_port(kept.get("port"))
        self._keys = {user: AccessKey(**key) for user, key in kept.get("keys", {}).items()}

    def _keep_credentials(self) -> None:
        keys = {user: {"key_id": key.key_id, "secret": key.secret} for user, key in self._keys.items()}
        write_private(self.folder / "credentials.json", json.dumps({"port": self._port, "keys": keys}))

    def _environment(self, root: AccessKey) -> dict[str, str]:
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            # ministack holds each body in memory. With huge pages, the first byte of a 400 MB object arrives after
            # 0.1 s instead of 0.35 s.
            "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
            "HOME": str(self.folder),
            "TMPDIR": str(temporary),
            "BIND_HOST": LOOPBACK,
            "GATEWAY_PORT": str(self._port),
            "SERVICES": "s3,iam,sts,secretsmanager",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "AUTH": "true",
            "AWS_ACCESS_KEY_ID": root.key_id,
            "AWS_SECRET_ACCESS_KEY": root.secret,
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self.folder / "objects"),
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self.folder / "state"),
            "MINISTACK_REGION": REGION,
            "LOG_LEVEL": "WARNING",
        }

    def _answers(self) -> bool:
        try:
            self.version()
        except (urllib.error.URLError, OSError):
            return False
        return True

    def _create_users(self, root: AccessKey) -> None:
        if not (self._keys and all(self._is_valid(key) for key in self._keys.values())):
            iam = client("iam", self.endpoint_url, root)
            for user, statements in (("tally", _FLOWS_MAY), ("administrator", _ADMINISTRATOR_MAY)):
                with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
                    iam.create_user(UserName=user)
                policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
                iam.put_user_policy(UserName=user, PolicyName="may", PolicyDocument=policy)
                made = iam.create_access_key(UserName=user)["AccessKey"]
                self._keys[user] = AccessKey(made["AccessKeyId"], made["SecretAccessKey"])
        self._keep_credentials()

    def _is_valid(self, key: AccessKey) -> bool:
        try:
            client("sts", self.endpoint_url, key).get_caller_identity()
        except ClientError:
            return False
        return True

    def _stop_process(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                stop(self._process)
            self._process = None


def client(service: str, endpoint_url: str, key: AccessKey) -> Any:
    """Create a boto3 client that uses only the given endpoint and key, and has short timeouts."""
    session = boto3.Session(key.key_id, key.secret, region_name=REGION)
    config = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "max_attempts": 2})
    return session.client(service, endpoint_url=endpoint_url, config=config)  # type: ignore[call-overload]


def create_bucket(s3: "S3Client", bucket: str) -> None:
    """Create a bucket unless it exists and is accessible."""
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        s3.create_bucket(Bucket=bucket)


def _new_root_key_id() -> str:
    return "AKIA" + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16))
