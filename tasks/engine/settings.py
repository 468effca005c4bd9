"""Settings: the environment where it speaks, else a Prefect block, else an error that names both.

They are read when a step starts, never at import, and are frozen. Each step reads only the group it needs, so that a
profile of one object asks for no warehouse.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from tasks.engine.errors import SettingsError

Block = Callable[[], Mapping[str, Any]]
"""Loads one Prefect block as values by field name; raises `SettingsError` where the block does not exist."""

MISSPELT = 0.85
"""Similarity to a known name from which an unknown variable is taken for a misspelt setting. Not every name with a
prefix of ours: Kubernetes sets LAKE_SERVICE_HOST and the like for its own reasons."""


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class WarehouseSettings(_Group):
    """Where Postgres is."""

    dsn: SecretStr = Field(description="WAREHOUSE_DSN: libpq URI or keyword string")

    @field_validator("dsn")
    @classmethod
    def _is_a_dsn(cls, dsn: SecretStr) -> SecretStr:
        try:
            conninfo_to_dict(dsn.get_secret_value())
        except psycopg.Error:  # its text quotes the DSN, password and all
            raise ValueError("expected postgresql://user:password@host:port/database or key=value pairs") from None
        return dsn


class LakeSettings(_Group):
    """Where S3 is. Credentials that are not given are found by the AWS default chain."""

    bucket: str = Field(min_length=1, description="LAKE_BUCKET")
    endpoint_url: str | None = Field(default=None, description="AWS_ENDPOINT_URL")
    access_key_id: str | None = Field(default=None, description="AWS_ACCESS_KEY_ID")
    secret_access_key: SecretStr | None = Field(default=None, description="AWS_SECRET_ACCESS_KEY")
    session_token: SecretStr | None = Field(default=None, description="AWS_SESSION_TOKEN")
    region: str | None = Field(default=None, description="AWS_REGION, else AWS_DEFAULT_REGION")

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
    export_prefix: str = "analytics_export/"
    export_id: str = Field(default="default", min_length=1)
    max_rejected_rows: int = Field(default=100, ge=0)
    max_rejected_share: float = Field(default=0.01, ge=0, le=1)

    @field_validator("events_key")
    @classmethod
    def _names_a_month(cls, key: str) -> str:
        fields = {name for _, name, _, _ in Formatter().parse(key) if name is not None}
        if not {"year", "month"} <= fields <= {"year", "month", "day"}:
            raise ValueError("expected {year:04d} and {month:02d} in it, and {day:02d} for files of days")
        return key


_LAKE_VARIABLES = {
    "bucket": ("LAKE_BUCKET",),
    "endpoint_url": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "access_key_id": ("AWS_ACCESS_KEY_ID",),
    "secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
    "session_token": ("AWS_SESSION_TOKEN",),
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
}
_KNOWN = frozenset({"WAREHOUSE_DSN", "LAKE_BUCKET"} | {name.upper() for name in RunSettings.model_fields})

SomeGroup = TypeVar("SomeGroup", bound=_Group)


def read_warehouse(environ: Mapping[str, str], block: Block) -> WarehouseSettings:
    """Settings of the warehouse from `WAREHOUSE_DSN`, else from block `warehouse`.

    Raises:
        SettingsError: Neither is there, or a variable looks like a misspelt setting.
    """
    _refuse_unknown(environ)
    dsn = environ.get("WAREHOUSE_DSN", "")
    if dsn:
        return _validated(WarehouseSettings, {"dsn": dsn}, "WAREHOUSE_DSN")
    return _validated(WarehouseSettings, block(), "block `warehouse`")


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
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise SettingsError(f"settings of {group.__name__} from {origin} cannot be used: {faults}") from None


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    for name in environ.keys() - _KNOWN:
        nearest = difflib.get_close_matches(name, sorted(_KNOWN), n=1, cutoff=MISSPELT)
        if nearest:
            raise SettingsError(
                f"unknown setting {name} in the environment; did you mean {nearest[0]}? Rename or unset it"
            )
