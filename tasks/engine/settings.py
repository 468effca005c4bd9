"""Settings from environment variables or, if a variable is not set, from a Prefect block.

If neither exists, the error names both. A step reads settings when it starts, never at import. Settings are immutable.
Each step reads only the group that it needs: the profile of an object needs no warehouse.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from string import Formatter
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import BaseModel, ConfigDict, Field, FilePath, SecretStr, ValidationError, field_validator

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
    """Where the operational database is: TOTESYS_DSN, or the secret that TOTESYS_SECRET names."""


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
    """What a run may differ in: names of objects, and the error budget."""

    events_prefix: str = ""
    events_key: str = "{year:04d}/{month:02d}/events.csv"
    commerce_prefix: str = "orders_data/"
    commerce_country: str = Field(default="US", min_length=2)
    orders_input_prefix: str = "Input/"
    orders_key: str = "{year:04d}-{month:02d}-{day:02d}.json"
    orders_output_prefix: str = "Output/"
    totesys_csv_bucket: str = Field(default="totesys-csv", min_length=3)
    totesys_parquet_bucket: str = Field(default="totesys-parquet", min_length=3)
    export_prefix: str = "analytics_export/"
    export_id: str = Field(default="default", pattern=EXPORT_ID_PATTERN)
    max_rejected_rows: int = Field(default=100, ge=0)
    max_rejected_share: float = Field(default=0.01, ge=0, le=1)
    min_kept_share: float = Field(default=0, ge=0, le=1)
    load_memory_mb: int = Field(default=400, ge=256)
    profile_folder: str = ""

    @property
    def chunk_bytes(self) -> int:
        """Bytes of an object that a load reads at once. The process then stays within `LOAD_MEMORY_MB`."""
        return max((self.load_memory_mb - PROCESS_MB) * (1 << 20) // CHUNK_COPIES, SMALLEST_CHUNK)

    @field_validator("events_key")
    @classmethod
    def _names_a_month(cls, key: str) -> str:
        fields = {name for _, name, _, _ in Formatter().parse(key) if name is not None}
        if not {"year", "month"} <= fields <= {"year", "month", "day"}:
            raise ValueError("expected {year:04d} and {month:02d}, and also {day:02d} if each file holds one day")
        return key

    @field_validator("orders_key")
    @classmethod
    def _names_a_day(cls, key: str) -> str:
        if {name for _, name, _, _ in Formatter().parse(key) if name is not None} != {"year", "month", "day"}:
            raise ValueError("expected {year:04d}, {month:02d} and {day:02d}")
        return key


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
_KNOWN = frozenset(
    {"WAREHOUSE_DSN", "LAKE_BUCKET", "TOTESYS_DSN", "TOTESYS_SECRET"}
    | {name.upper() for name in RunSettings.model_fields}
)

SomeGroup = TypeVar("SomeGroup", bound=_Group)


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


def read_source(environ: Mapping[str, str], secret: Callable[[str | None], str | bytes]) -> SourceSettings:
    """Read the operational database's settings from `TOTESYS_DSN` or, if it is not set, from a JSON secret.

    Args:
        environ: The environment.
        secret: Reads the secret with the given name. The name is `TOTESYS_SECRET`, or None for block `totesys`.

    Raises:
        SettingsError: No source exists, a value is invalid, or a variable looks like a misspelt setting.
    """
    _refuse_unknown(environ)
    if dsn := environ.get("TOTESYS_DSN"):
        return _database(SourceSettings, {"dsn": dsn}, "TOTESYS_DSN")
    name = environ.get("TOTESYS_SECRET") or None
    origin = f"secret {name}" if name else "the secret of block `totesys`"
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
    """Read the lake's settings from `LAKE_BUCKET` and the AWS variables or, if it is not set, from block `lake`.

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


def _validated(group: type[SomeGroup], values: Mapping[str, Any], origin: str) -> SomeGroup:
    try:
        return group.model_validate(dict(values))
    except ValidationError as error:
        # The error's own text is not used: it contains the value, which may be a secret.
        errors = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise SettingsError(f"{group.__name__} from {origin}: invalid settings: {errors}. Correct them") from None


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    for name in environ.keys() - _KNOWN:
        if meant := _meant(name):
            raise SettingsError(
                f"unknown variable {name} in the environment. Did you mean {meant}? Rename {name} or unset it"
            )


@lru_cache(maxsize=1000)
def _meant(name: str) -> str | None:
    """Return the setting that this name misspells, if any. The cache avoids repeating the slow comparison."""
    return next(iter(difflib.get_close_matches(name, sorted(_KNOWN), n=1, cutoff=MISSPELT)), None)
