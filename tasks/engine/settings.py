"""Settings: the environment where it speaks, else a Prefect block, else an error that names both.

They are read when a step starts, never at import, and are frozen. Each step reads only the group it needs, so that a
profile of one object asks for no warehouse.
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
"""Loads one Prefect block as values by field name; raises `SettingsError` where the block does not exist."""

MISSPELT = 0.85
"""Similarity to a known name from which an unknown variable is taken for a misspelt setting. Not every name with a
prefix of ours: Kubernetes sets LAKE_SERVICE_HOST and the like for its own reasons."""


PROCESS_MB, CHUNK_COPIES = 280, 24
"""Memory of a process that loads nothing yet, Prefect included, and how often a load holds a chunk in one form or
another: texts, their rows, pieces on their way. The most of any format; CSV takes no more than a MB at once anyway."""

SMALLEST_CHUNK = 1 << 18

EXPORT_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._=@+-]*$"
"""What an export id may be, as a parameter of a flow and as `EXPORT_ID`: one level of a key, no slash."""


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class DatabaseSettings(_Group):
    """Where a Postgres database is."""

    dsn: SecretStr = Field(description="libpq URI or keyword string")
    origin: str = Field(default="the DSN", description="Where the DSN comes from, for errors; never what it says")

    @field_validator("dsn")
    @classmethod
    def _is_a_dsn(cls, dsn: SecretStr) -> SecretStr:
        try:
            conninfo_to_dict(dsn.get_secret_value())
        except psycopg.Error:  # its text quotes the DSN, password and all
            raise ValueError("expected postgresql://user:password@host:port/database or key=value pairs") from None
        return dsn


class WarehouseSettings(DatabaseSettings):
    """Where the warehouse is: WAREHOUSE_DSN."""


class SourceSettings(DatabaseSettings):
    """Where the operational database is: TOTESYS_DSN, or the secret that TOTESYS_SECRET names."""


class LakeSettings(_Group):
    """Where S3 is. Credentials that are not given are found by the AWS default chain."""

    bucket: str = Field(min_length=1, description="LAKE_BUCKET")
    endpoint_url: str | None = Field(default=None, description="AWS_ENDPOINT_URL")
    access_key_id: str | None = Field(default=None, description="AWS_ACCESS_KEY_ID")
    secret_access_key: SecretStr | None = Field(default=None, description="AWS_SECRET_ACCESS_KEY")
    session_token: SecretStr | None = Field(default=None, description="AWS_SESSION_TOKEN")
    region: str | None = Field(default=None, description="AWS_REGION, else AWS_DEFAULT_REGION")
    named_by: str = Field(default=LAKE_BUCKET, description="What names the bucket, for errors")
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
        """How much of an object a load takes at once, so that its process stays within `LOAD_MEMORY_MB`."""
        return max((self.load_memory_mb - PROCESS_MB) * (1 << 20) // CHUNK_COPIES, SMALLEST_CHUNK)

    @field_validator("events_key")
    @classmethod
    def _names_a_month(cls, key: str) -> str:
        fields = {name for _, name, _, _ in Formatter().parse(key) if name is not None}
        if not {"year", "month"} <= fields <= {"year", "month", "day"}:
            raise ValueError("expected {year:04d} and {month:02d} in it, and {day:02d} for files of days")
        return key

    @field_validator("orders_key")
    @classmethod
    def _names_a_day(cls, key: str) -> str:
        if {name for _, name, _, _ in Formatter().parse(key) if name is not None} != {"year", "month", "day"}:
            raise ValueError("expected {year:04d}, {month:02d} and {day:02d} in it")
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
"""Keys of a secret for each parameter of a connection; RDS itself writes `username` and `dbname`."""

_OPTIONAL_SECRET_KEYS = {"port", "sslmode", "sslrootcert"}
_KNOWN = frozenset(
    {"WAREHOUSE_DSN", "LAKE_BUCKET", "TOTESYS_DSN", "TOTESYS_SECRET"}
    | {name.upper() for name in RunSettings.model_fields}
)

SomeGroup = TypeVar("SomeGroup", bound=_Group)


def read_warehouse(environ: Mapping[str, str], block: Block) -> WarehouseSettings:
    """Settings of the warehouse from `WAREHOUSE_DSN`, else from block `warehouse`.

    Raises:
        SettingsError: Neither is there, or a variable looks like a misspelt setting.
    """
    _refuse_unknown(environ)
    dsn = environ.get("WAREHOUSE_DSN", "")
    if dsn:
        return _database(WarehouseSettings, {"dsn": dsn}, "WAREHOUSE_DSN")
    return _database(WarehouseSettings, block(), "block `warehouse`")


def read_source(environ: Mapping[str, str], secret: Callable[[str | None], str | bytes]) -> SourceSettings:
    """Settings of the operational database from `TOTESYS_DSN`, else from a secret, which holds them as JSON.

    Args:
        environ: The environment.
        secret: Reads the secret of the name in `TOTESYS_SECRET`, or, where that is not set, that of block `totesys`.

    Raises:
        SettingsError: None of them is there, a value cannot be used, or a variable looks like a misspelt setting.
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
    except ValueError:  # its text quotes the secret
        found = None
    if not isinstance(found, dict):
        raise SettingsError(f"{origin} cannot be used: expected a JSON object with {_expected_keys()}, found no such")
    values = {name.lower(): value for name, value in found.items()}
    given = {
        parameter: next((str(values[key]) for key in keys if values.get(key) not in (None, "")), None)
        for parameter, keys in _SECRET_KEYS.items()
    }
    if any(given[parameter] is None for parameter in _SECRET_KEYS.keys() - _OPTIONAL_SECRET_KEYS):
        raise SettingsError(f"{origin} cannot be used: expected {_expected_keys()}, found {sorted(found)}")
    return make_conninfo("", **{parameter: value for parameter, value in given.items() if value is not None})


def _expected_keys() -> str:
    names = ("/".join(keys) for parameter, keys in _SECRET_KEYS.items() if parameter not in _OPTIONAL_SECRET_KEYS)
    return f"the keys {', '.join(names)} (and port, sslmode)"


def read_lake(environ: Mapping[str, str], block: Block) -> LakeSettings:
    """Settings of the lake from `LAKE_BUCKET` and the standard AWS variables, else from block `lake`.

    Raises:
        SettingsError: Neither is there, or a variable looks like a misspelt setting.
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
    """Settings of a run: every field of `RunSettings` is the variable of its name in capitals.

    Raises:
        SettingsError: A value cannot be used, or a variable looks like a misspelt setting.
    """
    _refuse_unknown(environ)
    given = {name: environ[name.upper()] for name in RunSettings.model_fields if environ.get(name.upper())}
    return _validated(RunSettings, given, "the environment")


def _validated(group: type[SomeGroup], values: Mapping[str, Any], origin: str) -> SomeGroup:
    try:
        return group.model_validate(dict(values))
    except ValidationError as error:
        # Not the error's own text: that would print the value, which may be a secret.
        errors = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise SettingsError(f"settings of {group.__name__} from {origin} cannot be used: {errors}") from None


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    for name in environ.keys() - _KNOWN:
        if meant := _meant(name):
            raise SettingsError(f"unknown setting {name} in the environment; did you mean {meant}? Rename or unset it")


@lru_cache(maxsize=1000)
def _meant(name: str) -> str | None:
    """The setting of which this is a misspelling; comparing takes longer than all else that reading settings does."""
    return next(iter(difflib.get_close_matches(name, sorted(_KNOWN), n=1, cutoff=MISSPELT)), None)
