"""Test the sample Totesys database of the demo and of `make up`, with its secret and its buckets."""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from deployments.local import embedded, totesys
from deployments.local.s3_service import AccessKey, client
from tasks.connections import open_lake, open_source
from tasks.contracts.totesys_source import SOURCE_TABLES, TOTESYS_SOURCE
from tasks.engine.lake.setup import check_lake_setup

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def provided(
    services: embedded.Services,
    bucket: str,
    lake_administrator: "S3Client",
    reachable_tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """Create the database, the secret and the buckets, and yield the folder of the owner's login."""
    del bucket  # the fixture sets the credentials
    folder = reachable_tmp_path / "services"
    folder.mkdir()
    if services.postgres is None or services.s3 is None:
        assert totesys.provide(services, folder) == {}
        pytest.skip("external services have no sample database")
    for name, value in totesys.provide(services, folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TOTESYS_DSN", raising=False)
    yield folder
    for store in totesys.STORES.values():
        for item in lake_administrator.list_objects_v2(Bucket=store)["Contents"]:
            lake_administrator.delete_object(Bucket=store, Key=item["Key"])
        lake_administrator.delete_bucket(Bucket=store)
    variables = services.administration
    key = AccessKey(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])
    client("secretsmanager", variables["AWS_ENDPOINT_URL"], key).delete_secret(
        SecretId=totesys.SECRET, ForceDeleteWithoutRecovery=True
    )
    with psycopg.connect(variables["WAREHOUSE_DSN"], autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(totesys.DATABASE)))
        for role in (totesys.READER, totesys.OWNER):
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_flows_can_read_the_sample_database_which_another_start_keeps(
    provided: Path,
    services: embedded.Services,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    owner = totesys.owner_dsn(provided)
    assert owner is not None
    assert (provided / "totesys.json").stat().st_mode & 0o777 == 0o600
    now = datetime.now(UTC).replace(tzinfo=None)
    with open_source(TOTESYS_SOURCE) as snapshot:
        assert snapshot.count_changed(SOURCE_TABLES[5], None) == totesys.SALES_ORDERS
        watermark = snapshot.watermark
    assert abs((datetime.fromisoformat(watermark.newest) - now).total_seconds()) < 60
    for kind, store in totesys.STORES.items():
        assert os.environ[f"TOTESYS_{kind.upper()}_BUCKET"] == store
        with open_lake(store) as lake:
            check_lake_setup(lake, "input/", f"setup_success_{kind}_input.txt")
    monkeypatch.setenv("TALLY_HOME", str(provided.parent))
    assert totesys.main(["--changes", "20"]) == 0
    counts = {name: int(count) for count, name in re.findall(r"(\d+) (.*)", capsys.readouterr().out)}
    assert totesys.provide(services, provided)["TOTESYS_SECRET"] == os.environ["TOTESYS_SECRET"]
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(owner)
    with open_source(TOTESYS_SOURCE) as snapshot:
        inserted = snapshot.count_changed(SOURCE_TABLES[5], None) - totesys.SALES_ORDERS
        assert inserted == counts["insert sales_order"] - counts.get("delete sales_order", 0)


def test_command_fails_without_a_sample_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TALLY_HOME", str(tmp_path))
    assert totesys.main([]) == 1
    assert "expected the Totesys database of `make up`" in capsys.readouterr().err
