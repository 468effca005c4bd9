"""Settings from environment variables or, if a variable is not set, from a Prefect block.

If neither exists, the error names both. A step reads settings when it starts, never at import. Settings are immutable.
Each step reads only the group that it needs: the profile of an object needs no warehouse.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any, Literal, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import BaseModel, ConfigDict, Field, FilePath, SecretStr, ValidationError, field_validator

from tasks.contracts import catalog
from tasks.contracts.settings import Setting
from tasks.contracts.source import Source
from tasks.engine.errors import SettingsError
from tasks.engine.lake_hints import LAKE_BUCKET

Block = Callable[[], Mapping[str, Any]]
"""Loads one Prefect block as values by field name. Raises `SettingsError` if the block does not exist."""

MISSPELT = 0.85
"""Minimum similarity to a known name for an unknown variable to count as a misspelt setting. A common prefix alone does
not count: Kubernetes sets variables such as LAKE_SERVICE_HOST."""


PROCESS_MB, CHUNK_COPIES = 280, 24
"""Memory of a process with Prefect before it loads anything, and the number of copies of a chunk that a load holds at
once: strings, rows, and pieces that wait for Postgres. The number is that of the most demanding format."""

SMALLEST_CHUNK = 1 << 18

EXPORT_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._=@+-]*$"
"""Valid export ids, both as a flow's parameter and as `EXPORT_ID`: one level of an object key, without a slash."""


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class DatabaseSettings(_Group):
    """Connection settings of a Postgres database."""

    dsn: SecretStr = Field(description="libpq URI or keyword string")
    origin: str = Field(default="the DSN", description="Source of the DSN, for errors; never the DSN itself")

    @field_validator("dsn")
    @classmethod
    def _is_a_dsn(cls, dsn: SecretStr) -> SecretStr:
        try:
            conninfo_to_dict(dsn.get_secret_value())
        except psycopg.Error:  # the error's text quotes the DSN with the password
            raise ValueError("expected postgresql://user:password@host:port/database or key=value pairs") from None
        return dsn


class WarehouseSettings(DatabaseSettings):
    """Connection settings of the warehouse: WAREHOUSE_DSN."""


class SourceSettings(DatabaseSettings):
    """Connection settings of an operational database."""


class LakeSettings(_Group):
    """Connection settings of S3. Without explicit credentials, the default chain of AWS finds them."""

    bucket: str = Field(min_length=1, description="LAKE_BUCKET")
    endpoint_url: str | None = Field(default=None, description="AWS_ENDPOINT_URL")
    access_key_id: str | None = Field(default=None, description="AWS_ACCESS_KEY_ID")
    secret_access_key: SecretStr | None = Field(default=None, description="AWS_SECRET_ACCESS_KEY")
    session_token: SecretStr | None = Field(default=None, description="AWS_SESSION_TOKEN")
    region: str | None = Field(default=None, description="AWS_REGION, else AWS_DEFAULT_REGION")
    named_by: str = Field(default=LAKE_BUCKET, description="Setting that names the bucket, for errors")
    ca_bundle: FilePath | None = Field(default=None, description="AWS_CA_BUNDLE")

    @field_validator("endpoint_url")
    @classmethod
    def _is_a_url(cls, url: str | None) -> str | None:
        if url and not re.match(r"https?://[^/]", url):
            raise ValueError("expected http://host:port or https://host:port")
        return url


class RunSettings(_Group):
    """The engine's settings of a run. The settings of pipelines are declared in `tasks.contracts`."""

    export_prefix: str = "analytics_export/"
    export_id: str = Field(default="default", pattern=EXPORT_ID_PATTERN)
    max_rejected_rows: int = Field(default=100, ge=0)
    max_rejected_share: float = Field(default=0.01, ge=0, le=1)
    min_kept_share: float = Field(default=0, ge=0, le=1)
    load_memory_mb: int = Field(default=400, ge=256)
    profile_folder: str = ""
    retry_count: int = Field(default=4, ge=0, le=50)
    retry_delays: str = Field(default="2,4,8,16", pattern=r"^[0-9]{1,5}( *, *[0-9]{1,5}){0,49}$")
    log_format: Literal["text", "json"] = "text"

    @property
    def delays(self) -> list[int]:
        """Seconds before each retry; the last delay applies to all further retries."""
        return [int(delay) for delay in self.retry_delays.split(",")]

    @property
    def chunk_bytes(self) -> int:
        """Bytes of an object that a load reads at once. The process then stays within `LOAD_MEMORY_MB`."""
        return max((self.load_memory_mb - PROCESS_MB) * (1 << 20) // CHUNK_COPIES, SMALLEST_CHUNK)

    def rejected_allowed(self, rows_read: int) -> int:
        """Return the error budget: how many rows of an object with this many rows may be rejected."""
        return max(self.max_rejected_rows, int(self.max_rejected_share * rows_read))


_LAKE_VARIABLES = {
    "bucket": ("LAKE_BUCKET",),
    "endpoint_url": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "access_key_id": ("AWS_ACCESS_KEY_ID",),
    "secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
    "session_token": ("AWS_SESSION_TOKEN",),
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "ca_bundle": ("AWS_CA_BUNDLE",),
}
_SECRET_KEYS = {
    "user": ("user", "username"),
    "password": ("password",),
    "host": ("host", "hostname"),
    "port": ("port",),
    "dbname": ("database", "dbname", "db_name", "db"),
    "sslmode": ("sslmode",),
    "sslrootcert": ("sslrootcert",),
}
"""Accepted keys of a secret for each connection parameter. RDS writes `username` and `dbname`."""

_OPTIONAL_SECRET_KEYS = {"port", "sslmode", "sslrootcert"}

SomeGroup = TypeVar("SomeGroup", bound=_Group)


@cache
def known_variables() -> frozenset[str]:
    """Return the names of the variables of the engine, of all pipelines and of their sources, without those of AWS.

    Raises:
        SettingsError: A pipeline has a setting with the name of a variable of the engine or of a source's login.
    """
    sources, settings = catalog.sources().values(), catalog.settings()
    others = {"WAREHOUSE_DSN", "LAKE_BUCKET"} | {name.upper() for name in RunSettings.model_fields}
    others |= {name for source in sources for name in (source.dsn_variable, source.secret_variable)}
    for name in sorted(others & settings.keys()):
        raise SettingsError(
            f"{settings[name].meaning}: expected a variable of its own, found {name}, which is the variable of another"
            " setting. Rename the dataset, or declare a Setting with another variable in the contract"
        )
    return frozenset(others | settings.keys())


def read_warehouse(environ: Mapping[str, str], block: Block) -> WarehouseSettings:
    """Read the warehouse's settings from `WAREHOUSE_DSN` or, if it is not set, from block `warehouse`.

    Raises:
        SettingsError: Neither exists, or a variable looks like a misspelt setting.
    """
    _refuse_unknown(environ)
    dsn = environ.get("WAREHOUSE_DSN", "")
    if dsn:
        return _database(WarehouseSettings, {"dsn": dsn}, "WAREHOUSE_DSN")
    return _database(WarehouseSettings, block(), "block `warehouse`")


def read_source(
    source: Source, environ: Mapping[str, str], secret: Callable[[str | None], str | bytes]
) -> SourceSettings:
    """Read an operational database's settings from its DSN variable or, if it is not set, from a JSON secret.

    Args:
        source: The database.
        environ: The environment.
        secret: Reads the secret with the given name. None is the secret of the block with the source's name.

    Raises:
        SettingsError: No source exists, a value is invalid, or a variable looks like a misspelt setting.
    """
    _refuse_unknown(environ)
    if dsn := environ.get(source.dsn_variable):
        return _database(SourceSettings, {"dsn": dsn}, source.dsn_variable)
    name = environ.get(source.secret_variable) or None
    origin = f"secret {name}" if name else f"the secret of block `{source.name}`"
    return _database(SourceSettings, {"dsn": _dsn_of_secret(secret(name), origin)}, origin)


def _database(group: type[SomeGroup], values: Mapping[str, Any], origin: str) -> SomeGroup:
    return _validated(group, {**values, "origin": origin}, origin)


def _dsn_of_secret(text: str | bytes, origin: str) -> str:
    try:
        found = json.loads(text)
    except ValueError:  # the error's text quotes the secret
        found = None
    if not isinstance(found, dict):
        raise SettingsError(
            f"{origin} is invalid: expected a JSON object with {_expected_keys()}, found something else."
            " Correct the secret"
        )
    values = {name.lower(): value for name, value in found.items()}
    given = {
        parameter: next((str(values[key]) for key in keys if values.get(key) not in (None, "")), None)
        for parameter, keys in _SECRET_KEYS.items()
    }
    if any(given[parameter] is None for parameter in _SECRET_KEYS.keys() - _OPTIONAL_SECRET_KEYS):
        raise SettingsError(
            f"{origin} is invalid: expected {_expected_keys()}, found {sorted(found)}. Correct the secret"
        )
    return make_conninfo("", **{parameter: value for parameter, value in given.items() if value is not None})


def _expected_keys() -> str:
    names = ("/".join(keys) for parameter, keys in _SECRET_KEYS.items() if parameter not in _OPTIONAL_SECRET_KEYS)
    return f"the keys {', '.join(names)} (and port, sslmode)"


def read_lake(environ: Mapping[str, str], block: Block) -> LakeSettings:
    """Read the lake's settings from `LAKE_BUCKET` and the AWS variables, or from block `lake` if no bucket is set.

    Raises:
        SettingsError: Neither exists, or a variable looks like a misspelt setting.
    """
    _refuse_unknown(environ)
    if not environ.get("LAKE_BUCKET"):
        return _validated(LakeSettings, block(), "block `lake`")
    values = {
        field: next((environ[name] for name in names if environ.get(name)), None)
        for field, names in _LAKE_VARIABLES.items()
    }
    return _validated(LakeSettings, values, "LAKE_BUCKET")


def read_run(environ: Mapping[str, str]) -> RunSettings:
    """Read a run's settings. Each field of `RunSettings` is the variable with its name in upper case.

    Raises:
        SettingsError: A value is invalid, or a variable looks like a misspelt setting.
    """
    _refuse_unknown(environ)
    given = {name: environ[name.upper()] for name in RunSettings.model_fields if environ.get(name.upper())}
    return _validated(RunSettings, given, "the environment")


def read_setting(setting: Setting, environ: Mapping[str, str]) -> str:
    """Read a setting that a pipeline declares.

    Raises:
        SettingsError: The value is invalid, or a variable looks like a misspelt setting.
    """
    _refuse_unknown(environ)
    try:
        return setting.value_in(environ)
    except ValueError as error:
        raise SettingsError(
            f"variable {setting.variable} ({setting.meaning}) is invalid: {error}. Correct it or unset it"
        ) from None


def _validated(group: type[SomeGroup], values: Mapping[str, Any], origin: str) -> SomeGroup:
    try:
        return group.model_validate(dict(values))
    except ValidationError as error:
        # The error's own text is not used: it contains the value, which may be a secret.
        errors = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise SettingsError(f"{group.__name__} from {origin}: invalid settings: {errors}. Correct them") from None


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    for name in environ.keys() - known_variables():
        if meant := _meant(name):
            raise SettingsError(
                f"unknown variable {name} in the environment. Did you mean {meant}? Rename {name} or unset it"
            )


_replaced_variables = cache(catalog.replaced_variables)


@lru_cache(maxsize=1000)
def _meant(name: str) -> str | None:
    """Return the setting that this name misspells, if any. The cache avoids repeating the slow comparison."""
    if name in (replaced := _replaced_variables()):
        return replaced[name]
    return next(iter(difflib.get_close_matches(name, sorted(known_variables()), n=1, cutoff=MISSPELT)), None)
