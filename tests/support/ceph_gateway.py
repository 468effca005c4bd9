"""A second object store for the tests: Ceph's S3 gateway from a distribution's packages, on one store in memory.

Another family of S3 than the server of the wheels, with its own signatures, ETags, listings and multipart uploads.
"""

import contextlib
import json
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

from deployments.local.child_process import (
    LOOPBACK,
    ServiceError,
    free_port,
    last_lines,
    service_account,
    spawn,
    stop,
    wait_until_ready,
)
from deployments.local.s3_service import REGION

PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
TIMEOUT = 30.0
"""Time limit in seconds for a step that takes one second on an idle machine."""

_CONFIGURATION = """
[global]
fsid = {cluster}
mon host = v2:{loopback}:{monitor_port}
mon initial members = a
public addr = {loopback}
cluster addr = {loopback}
keyring = {folder}/keyring
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
ms mon client mode = crc
ms bind ipv6 = false
ms bind msgr1 = false
run dir = {folder}
crash dir = {folder}
admin socket = {folder}/$name.socket
pid file =
log file =
mon data = {folder}/monitor
osd data = {folder}/store
rgw data = {folder}/gateway
osd objectstore = memstore
memstore device bytes = 2147483648
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd crush chooseleaf type = 0
mon allow pool size one = true
# A second by default, for each of a dozen changes of the cluster's map.
paxos propose interval = 0.05
rgw frontends = beast endpoint={loopback}:{gateway_port} tcp_nodelay=1
"""


def missing() -> str | None:
    """Return why this machine has no gateway, or None if the gateway is installed."""
    lacking = [program for program in PROGRAMS if not shutil.which(program)]
    if not lacking:
        return None
    return f"{', '.join(lacking)} not on PATH: apt-get install ceph-mon ceph-osd radosgw"


@contextlib.contextmanager
def ceph_gateway(folder: Path) -> Iterator[dict[str, str]]:
    """Run a monitor, a store and the gateway during the block.

    Args:
        folder: New folder for everything except the objects; an unprivileged account must be able to reach it.

    Yields:
        The variables that reach it: `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`,
        `AWS_DEFAULT_REGION`. The key may do everything.

    Raises:
        ServiceError: A part of it does not start.
    """
    cluster = _Cluster(folder)
    with contextlib.ExitStack() as stack:
        cluster.make()
        stack.enter_context(cluster.daemon("ceph-mon", "-i", "a"))
        store = str(uuid.uuid4())
        cluster.run("ceph", "--connect-timeout", f"{TIMEOUT:.0f}", "osd", "new", store)
        cluster.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", store)
        stack.enter_context(cluster.daemon("ceph-osd", "-i", "0"))
        user = json.loads(cluster.run("radosgw-admin", "user", "create", "--uid", "tests", "--display-name", "tests"))
        gateway = stack.enter_context(cluster.daemon("radosgw", "-n", "client.admin"))
        wait_until_ready(gateway, cluster.answers, name="radosgw", log=cluster.log, timeout=TIMEOUT)
        yield {
            "AWS_ENDPOINT_URL": cluster.endpoint_url,
            "AWS_ACCESS_KEY_ID": user["keys"][0]["access_key"],
            "AWS_SECRET_ACCESS_KEY": user["keys"][0]["secret_key"],
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }


class _Cluster:
    """The parts of a cluster that share a folder, a configuration and a key ring."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "ceph.log"
        self._account = service_account()
        self._monitor_port, self._gateway_port = free_port(), free_port()
        self._environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "CEPH_CONF": str(folder / "ceph.conf"),
        }

    @property
    def endpoint_url(self) -> str:
        return f"http://{LOOPBACK}:{self._gateway_port}"

    def make(self) -> None:
        """Configuration, keys and an empty monitor."""
        for folder in (self.folder, *(self.folder / name for name in ("monitor", "store", "gateway"))):
            folder.mkdir(mode=0o700)
            if self._account:
                shutil.chown(folder, self._account.uid, self._account.gid)
        cluster = str(uuid.uuid4())
        text = _CONFIGURATION.format(
            cluster=cluster,
            folder=self.folder,
            loopback=LOOPBACK,
            monitor_port=self._monitor_port,
            gateway_port=self._gateway_port,
        )
        (self.folder / "ceph.conf").write_text(text)
        keyring, monitors = str(self.folder / "keyring"), str(self.folder / "monitors")
        self.run("ceph-authtool", "--create-keyring", keyring)
        everything = ("--cap", "mon", "allow *", "--cap", "osd", "allow *")
        for name in ("mon.", "client.admin", "osd.0"):
            self.run("ceph-authtool", keyring, "--gen-key", "--name", name, *everything)
        address = f"[v2:{LOOPBACK}:{self._monitor_port}]"
        self.run("monmaptool", "--create", "--fsid", cluster, "--addv", "a", address, monitors)
        self.run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monitors, "--keyring", keyring)

    def run(self, *command: str) -> str:
        """Run a command of the cluster, and return its output."""
        try:
            return subprocess.run(
                command,
                env=self._environment,
                cwd=self.folder,
                user=self._account.uid if self._account else None,
                group=self._account.gid if self._account else None,
                extra_groups=[] if self._account else None,
                capture_output=True,
                text=True,
                check=True,
                timeout=TIMEOUT,
            ).stdout
        except subprocess.SubprocessError as error:
            said = getattr(error, "stderr", "") or ""
            raise ServiceError(f"{error}\n{said}\nThe end of {self.log}:\n{last_lines(self.log)}") from error

    @contextlib.contextmanager
    def daemon(self, program: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start a daemon in the foreground. A signal may end it, because it stores nothing of value."""
        process = spawn(
            [shutil.which(program) or program, *options, "-f"],
            environment=self._environment,
            log=self.log,
            folder=self.folder,
            account=self._account,
            end_with=signal.SIGKILL,
        )
        try:
            yield process
        finally:
            stop(process, signal.SIGKILL)

    def answers(self) -> bool:
        """Whether the gateway serves."""
        try:
            urllib.request.urlopen(self.endpoint_url, timeout=5).close()  # noqa: S310  (our own)
        except (urllib.error.URLError, OSError):
            return False
        return True
