"""Postgres and S3 behind TLS: the right authority works, and each wrong setting is refused with its name."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pgbouncer_pooler import pooler
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr
from sample_dataset import HEADER, STRICT, THINGS, connection, load, names, put, ready_connection
from sample_source import OFFICE
from tls import Authority, authority, tls_proxy

from deployments import blocks
from deployments.local import embedded
from deployments.local.child_process import service_account
from tasks.blocks import warehouse_block
from tasks.engine.errors import LakeError, LakeUnavailableError, Permanent, SettingsError, WarehouseError, is_transient
from tasks.engine.lake.client import Lake
from tasks.engine.load.loader import load_object
from tasks.engine.receipts import ObjectRef
from tasks.engine.settings import LakeSettings, read_lake, read_source
from tasks.engine.sync.source import open_snapshot

pytestmark = pytest.mark.usefixtures("bucket")


@pytest.fixture
def right(reachable_tmp_path: Path) -> Authority:
    made = authority(reachable_tmp_path / "right")
    if account := service_account():
        shutil.chown(made.key, account.uid, account.gid)
    made.key.chmod(0o600)
    return made


@pytest.fixture
def wrong(reachable_tmp_path: Path) -> Authority:
    return authority(reachable_tmp_path / "wrong")


@pytest.fixture
def secure(database: str, right: Authority) -> Iterator[str]:
    """The DSN of the test's database at a server that takes TLS only."""
    options = f"client_tls_sslmode = require\nclient_tls_key_file = {right.key}\n"
    with pooler(database, "session", f"{options}client_tls_cert_file = {right.certificate}") as dsn:
        yield dsn


@pytest.mark.pooler
@pytest.mark.parametrize("mode", ["verify-full", "verify-ca", "require"])
def test_warehouse_over_tls(secure: str, right: Authority, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv("WAREHOUSE_DSN", make_conninfo(secure, sslmode=mode, sslrootcert=str(right.bundle)))
    with ready_connection() as opened:
        assert opened.pgconn.ssl_in_use
        load(opened, put(HEADER + "Perú,\n".encode()), settings=STRICT)
        assert names(opened) == ["Perú"]


@pytest.mark.pooler
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sslmode": "disable"}, r"TLS.*SSL required.*sslmode=verify-full and sslrootcert in WAREHOUSE_DSN"),
        ({"sslmode": "verify-full", "sslrootcert": "wrong"}, r"TLS.*certificate verify failed.*sslrootcert"),
        ({"sslmode": "verify-full", "sslrootcert": "/nowhere/ca.pem"}, r"TLS.*/nowhere/ca.pem.*sslrootcert"),
        ({"sslmode": "verify-full", "sslrootcert": "right", "host": "localhost"}, r"TLS.*does not match host name"),
        ({"sslmode": "verify-full", "sslrootcert": "system"}, r"TLS.*certificate verify failed.*sslrootcert"),
    ],
)
def test_warehouse_with_other_tls_is_a_permanent_error(
    secure: str,
    right: Authority,
    wrong: Authority,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, str],
    words: str,
) -> None:
    bundles = {"right": str(right.bundle), "wrong": str(wrong.bundle)}
    given = {name: bundles.get(value, value) for name, value in options.items()}
    monkeypatch.setenv("WAREHOUSE_DSN", make_conninfo(secure, **given))
    with pytest.raises(WarehouseError, match=f"(?s){words}") as caught, connection():
        pass
    assert not is_transient(caught.value)


def test_server_without_tls_is_refused_where_tls_is_wanted(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_DSN", make_conninfo(database, sslmode="require"))
    with pytest.raises(WarehouseError, match=r"TLS.*does not support SSL.*Switch `ssl` on"), connection():
        pass


@pytest.mark.pooler
def test_secret_of_the_source_may_name_an_authority(secure: str, right: Authority, wrong: Authority) -> None:
    parts = conninfo_to_dict(secure)
    for bundle in (right, wrong):
        secret = (
            f'{{"user": "{parts["user"]}", "password": "x", "host": "{parts["host"]}", "port": {parts["port"]},'
            f' "database": "pooled", "sslmode": "verify-full", "sslrootcert": "{bundle.bundle}"}}'
        )
        settings = read_source(OFFICE, {"OFFICE_SECRET": "login"}, lambda _, secret=secret: secret)
        words = "no such table" if bundle is right else "sslrootcert in secret login"
        with pytest.raises(Permanent, match=words), open_snapshot(settings, OFFICE.tables):
            pass


@pytest.mark.pooler
@pytest.mark.usefixtures("prefect_blocks")
def test_block_of_the_warehouse_keeps_the_settings_of_tls(
    secure: str, right: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = conninfo_to_dict(secure)
    monkeypatch.setenv(
        "WAREHOUSE_DSN",
        f"postgresql://{parts['user']}:x@{parts['host']}:{parts['port']}/pooled"
        f"?sslmode=verify-full&sslrootcert={right.bundle}",
    )
    blocks._save_warehouse(dict(os.environ))
    found = conninfo_to_dict(warehouse_block()["dsn"])
    assert (found["sslmode"], found["sslrootcert"]) == ("verify-full", str(right.bundle))


@pytest.fixture
def secure_s3(right: Authority, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`AWS_ENDPOINT_URL` is that of a proxy that takes TLS only."""
    del bucket
    plain = urlsplit(os.environ["AWS_ENDPOINT_URL"])
    with tls_proxy((str(plain.hostname), plain.port or 80), right) as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{port}")
        yield f"127.0.0.1:{port}"


def lake_of_environment() -> Lake:
    return Lake(read_lake(os.environ, dict))


def test_lake_over_tls(secure_s3: str, right: Authority, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    del secure_s3, database
    monkeypatch.setenv("AWS_CA_BUNDLE", str(right.bundle))
    with lake_of_environment() as lake, ready_connection() as opened:
        lake.write("2021/04/things.csv", iter([HEADER + b"a,\n"]), "text/csv")
        stored = lake.head("2021/04/things.csv")
        source = ObjectRef(lake.uri(stored.key), stored.version, stored.size_bytes, "2021-04")
        assert load_object(opened, lake, THINGS, source, STRICT).rows_loaded == 1


def test_block_of_the_lake_may_name_an_authority(secure_s3: str, right: Authority) -> None:
    settings = LakeSettings(
        bucket=os.environ["LAKE_BUCKET"],
        endpoint_url=f"https://{secure_s3}",
        access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        secret_access_key=SecretStr(os.environ["AWS_SECRET_ACCESS_KEY"]),
        region="us-east-1",
        ca_bundle=str(right.bundle),
    )
    with Lake(settings) as lake:
        assert list(lake.list("")) == []


@pytest.mark.usefixtures("one_attempt")
@pytest.mark.parametrize("bundle", ["wrong", "none"])
def test_lake_of_another_authority_is_a_permanent_error(
    secure_s3: str, wrong: Authority, monkeypatch: pytest.MonkeyPatch, bundle: str
) -> None:
    if bundle == "wrong":
        monkeypatch.setenv("AWS_CA_BUNDLE", str(wrong.bundle))
    with (
        pytest.raises(LakeError, match=r"certificate verify failed.*AWS_CA_BUNDLE") as caught,
        lake_of_environment() as lake,
    ):
        list(lake.list(""))
    assert not is_transient(caught.value)


def test_authority_without_a_file_is_an_invalid_setting(secure_s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    del secure_s3
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere/ca.pem")
    with pytest.raises(SettingsError, match=r"AWS_CA_BUNDLE.*/nowhere/ca.pem|ca_bundle"), lake_of_environment():
        pass


@pytest.mark.usefixtures("one_attempt")
def test_tls_to_a_plain_server_and_plain_to_a_secure_one_name_the_endpoint(
    secure_s3: str, monkeypatch: pytest.MonkeyPatch, services: embedded.Services
) -> None:
    plain = services.environment["AWS_ENDPOINT_URL"].removeprefix("http://")
    for url, kind in ((f"https://{plain}", LakeError), (f"http://{secure_s3}", LakeUnavailableError)):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(kind, match="AWS_ENDPOINT_URL"), lake_of_environment() as lake:
            list(lake.list(""))
