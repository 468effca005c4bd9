"""Settings of an operational database: a DSN, or a secret that holds them as JSON."""

import json
import traceback

import pytest
from declared_fixtures import Declare
from psycopg.conninfo import conninfo_to_dict
from sample_source import OFFICE

from tasks.engine.errors import SettingsError
from tasks.engine.settings import read_source

DSN = "postgresql://reader:hunter2@127.0.0.1:5432/office"
LOGIN = {"user": "reader", "password": "hunter2 '\\", "host": "db.example", "database": "office"}


def never(name: str | None) -> str:
    raise AssertionError(f"secret {name} was read although the environment speaks")


def read(secret: object, name: str | None = "office") -> dict[str, object]:
    text = secret if isinstance(secret, str | bytes) else json.dumps(secret)
    asked = []
    environ = {"OFFICE_SECRET": name} if name else {}
    settings = read_source(OFFICE, environ, lambda given: asked.append(given) or text)
    assert asked == [name]
    return {key: value for key, value in conninfo_to_dict(settings.dsn.get_secret_value()).items() if value is not None}


def test_dsn_has_precedence_over_the_secret() -> None:
    environ = {"OFFICE_DSN": DSN, "OFFICE_SECRET": "office"}
    assert read_source(OFFICE, environ, never).dsn.get_secret_value() == DSN


@pytest.mark.parametrize("name", ["office", None])
def test_secret_of_the_name_or_of_the_block_is_read(name: str | None) -> None:
    expected = {"user": "reader", "password": "hunter2 '\\", "host": "db.example", "dbname": "office"}
    assert read(LOGIN, name) == expected
    assert read(json.dumps(LOGIN).encode(), name) == expected


@pytest.mark.parametrize(
    ("secret", "found"),
    [
        (LOGIN | {"port": 5433}, {"port": "5433"}),
        (LOGIN | {"port": "5433", "engine": "postgres", "sslmode": "require"}, {"port": "5433", "sslmode": "require"}),
        ({"username": "u", "password": "p", "hostname": "h", "dbname": "d"}, {"user": "u", "host": "h", "dbname": "d"}),
        ({"USER": "u", "Password": "p", "host": "h", "db": "d", "port": None}, {"user": "u", "password": "p"}),
    ],
)
def test_usual_spellings_of_a_secret_are_known(secret: dict[str, object], found: dict[str, str]) -> None:
    assert read(secret).items() >= found.items()


@pytest.mark.parametrize(
    "secret",
    ["", "hunter2", '"hunter2"', "[1]", b"\xff", {}, *({**LOGIN, key: None} for key in LOGIN), {**LOGIN, "user": ""}],
)
def test_secret_without_a_login_is_refused_and_not_shown(secret: object) -> None:
    with pytest.raises(SettingsError, match="secret office is invalid: expected ") as caught:
        read(secret)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_malformed_dsn_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError, match="OFFICE_DSN: invalid settings: dsn: ") as caught:
        read_source(OFFICE, {"OFFICE_DSN": DSN.replace("postgresql", "postgresq")}, never)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_misspelt_name_is_refused(declare: Declare) -> None:
    declare(OFFICE)
    with pytest.raises(SettingsError, match="Did you mean OFFICE_SECRET"):
        read_source(OFFICE, {"OFFICE_SECRETS": "x"}, never)
