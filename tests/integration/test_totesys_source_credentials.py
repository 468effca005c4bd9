"""Where the credentials of the source come from: Secrets Manager, by way of Prefect, or a DSN."""

import json
import logging
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from deployments.local import embedded
from deployments.local.s3_service import AccessKey, client
from tasks.connections import open_source
from tasks.contracts.totesys_source import SOURCE_TABLES, TOTESYS_SOURCE
from tasks.engine.errors import SettingsError

if TYPE_CHECKING:
    from totesys_fixtures import TotesysSource

pytestmark = pytest.mark.usefixtures("bucket")

Put = Callable[[str], str]


@pytest.fixture
def put(services: embedded.Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Put]:
    """A function that stores a text as a secret, sets `TOTESYS_SECRET` to its name, and returns the name."""
    administration = services.administration
    key = AccessKey(administration["AWS_ACCESS_KEY_ID"], administration["AWS_SECRET_ACCESS_KEY"])
    manager = client("secretsmanager", administration["AWS_ENDPOINT_URL"], key)
    names = []

    def put_secret(text: str) -> str:
        name = f"totesys-{secrets.token_hex(4)}"
        manager.create_secret(Name=name, SecretString=text)
        monkeypatch.setenv("TOTESYS_SECRET", name)
        names.append(name)
        return name

    monkeypatch.delenv("TOTESYS_DSN", raising=False)
    yield put_secret
    for name in names:
        manager.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def login(source: "TotesysSource") -> dict[str, Any]:
    return {name: value for name, value in conninfo_to_dict(source.reader_dsn).items() if value is not None}


def spelt(source: "TotesysSource", **names: str) -> str:
    return json.dumps({names.get(name, name): value for name, value in login(source).items()})


@pytest.mark.parametrize(
    "names", [{"dbname": "database"}, {"user": "username"}, {"user": "USERNAME", "host": "hostname", "dbname": "db"}]
)
def test_source_is_opened_by_a_secret(
    totesys_source: "TotesysSource",
    put: Put,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    names: dict[str, str],
) -> None:
    monkeypatch.setitem(sys.modules, "prefect_aws", None)  # its import costs 0.8 s of CPU
    put(spelt(totesys_source, **names))
    with caplog.at_level(logging.DEBUG), open_source(TOTESYS_SOURCE) as snapshot:
        assert snapshot.count_changed(SOURCE_TABLES[0], None) == 0
    assert login(totesys_source)["password"] not in caplog.text


def test_dsn_wins_over_a_secret(totesys_source: "TotesysSource", put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("no JSON")
    monkeypatch.setenv("TOTESYS_DSN", totesys_source.reader_dsn)
    with open_source(TOTESYS_SOURCE) as snapshot:
        assert snapshot.tables == SOURCE_TABLES


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hunter2", "expected a JSON object with the keys user/username, password, host/hostname, database/dbname"),
        ('["hunter2"]', "expected a JSON object"),
        (
            '{"user": "u", "password": "hunter2", "host": "h", "extra": 1}',
            "found ['extra', 'host', 'password', 'user']",
        ),
        ('{"user": "u", "password": "", "host": "h", "dbname": "hunter2"}', "found ['dbname', 'host', "),
    ],
    ids=["no-json", "list", "no-database", "no-password"],
)
def test_secret_that_is_no_login_is_refused_and_not_shown(put: Put, text: str, words: str) -> None:
    name = put(text)
    with pytest.raises(SettingsError) as caught:
        open_source(TOTESYS_SOURCE)
    assert f"secret {name} is invalid" in str(caught.value)
    assert words in str(caught.value)
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_missing_secret_says_what_to_create(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOTESYS_DSN", raising=False)
    monkeypatch.setenv("TOTESYS_SECRET", "no-such-secret")
    with pytest.raises(
        SettingsError, match=r"Secrets Manager \[ResourceNotFoundException\].*read secret no-such-secret"
    ):
        open_source(TOTESYS_SOURCE)


def test_wrong_key_is_refused_by_secrets_manager(
    totesys_source: "TotesysSource", put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(spelt(totesys_source))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(SettingsError, match=r"Secrets Manager \[\w+\].*allow secretsmanager:GetSecretValue"):
        open_source(TOTESYS_SOURCE)


@pytest.mark.usefixtures("prefect_blocks")
def test_source_is_opened_by_the_secret_of_a_block(
    totesys_source: "TotesysSource", put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deployments.register import register

    name = put(spelt(totesys_source))
    assert f"block totesys: saved (secret {name} in Secrets Manager)" in register("process", os.environ)
    monkeypatch.delenv("TOTESYS_SECRET")
    with open_source(TOTESYS_SOURCE) as snapshot:
        assert snapshot.tables == SOURCE_TABLES
