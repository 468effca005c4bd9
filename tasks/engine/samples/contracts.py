"""Contracts of samples: a contract of texts that reads any column, and the contract that the profile proposes."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tasks.contracts import Column, Contract
from tasks.contracts.arrays import TEXT_ARRAY
from tasks.contracts.formats import Csv, Format, Json, Ndjson, Parquet
from tasks.contracts.jsonb import JSONB
from tasks.contracts.spelling import AS_POSTGRES, Spelling
from tasks.contracts.types import (
    BIGINT,
    BIGINT_ARRAY,
    BOOLEAN,
    BYTEA,
    DATE,
    DOUBLE,
    INET,
    INTEGER,
    NUMERIC,
    REAL,
    SMALLINT,
    TEXT,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID,
    ColumnType,
)
from tasks.engine.samples.columns import ColumnProfile
from tasks.engine.samples.dialects import Dialect
from tasks.engine.samples.profile import SampleProfile, file_nulls

TYPES: dict[str, tuple[str, ColumnType]] = {
    "text": ("TEXT", TEXT),
    "smallint": ("SMALLINT", SMALLINT),
    "integer": ("INTEGER", INTEGER),
    "bigint": ("BIGINT", BIGINT),
    "numeric": ("NUMERIC()", NUMERIC()),
    "real": ("REAL", REAL),
    "double precision": ("DOUBLE", DOUBLE),
    "boolean": ("BOOLEAN", BOOLEAN),
    "date": ("DATE", DATE),
    "time": ("TIME", TIME),
    "timestamp": ("TIMESTAMP", TIMESTAMP),
    "timestamptz": ("TIMESTAMPTZ", TIMESTAMPTZ),
    "uuid": ("UUID", UUID),
    "inet": ("INET", INET),
    "bytea": ("BYTEA", BYTEA),
    "jsonb": ("JSONB", JSONB),
    "text[]": ("TEXT_ARRAY", TEXT_ARRAY),
    "bigint[]": ("BIGINT_ARRAY", BIGINT_ARRAY),
}
"""The types of a contract by the names of kinds: the code in a contract's module, and the type itself."""

_SPELLED_BY = {
    "date": ("date",),
    "time": ("time",),
    "timestamp": ("timestamp", "timestamptz"),
    "decimal": ("numeric", "double precision", "real"),
    "thousands": ("smallint", "integer", "bigint", "numeric", "double precision", "real"),
    "decimal_integers": ("smallint", "integer", "bigint"),
    "binary": ("bytea",),
}
"""The types to which a field of a spelling applies."""


def common_spelling(columns: Sequence[ColumnProfile]) -> Spelling:
    """The spelling that all columns of a file share. Columns that differ declare their own."""
    shared: dict[str, str | bool] = {}
    for name, kinds in _SPELLED_BY.items():
        values = {dict(column.kind.spelling).get(name) for column in columns if column.kind.name in kinds}
        if len(values) == 1 and (value := values.pop()) is not None:
            shared[name] = value
    return Spelling(**shared)  # type: ignore[arg-type]


def own_spelling(column: ColumnProfile, common: Spelling) -> Spelling | None:
    """The spelling that a column declares, or None if the spelling of the file applies."""
    own = Spelling(**dict(column.kind.spelling))  # type: ignore[arg-type]
    fields = [name for name, kinds in _SPELLED_BY.items() if column.kind.name in kinds]
    return None if all(getattr(own, name) == getattr(common, name) for name in fields) else own


def own_nulls(column: ColumnProfile, common: Sequence[str]) -> tuple[str, ...] | None:
    """The null markers that a column declares, or None if the null markers of the file apply."""
    if column.keeps_markers:
        return ()
    more = [marker for marker in column.nulls if marker not in common]
    return (*common, *more) if more else None


def format_of_dialect(dialect: Dialect, sources: Sequence[str]) -> Csv:
    """The format of a CSV file.

    Args:
        dialect: How the file is written.
        sources: Names of its fields. They replace a header that is missing, incomplete or ambiguous.
    """
    is_named = tuple(sources) == dialect.header
    return Csv(
        delimiter=dialect.delimiter,
        quote=dialect.quote,
        escape=dialect.escape,
        names=() if is_named else tuple(sources),
        comment=dialect.comment,
        skip_lines=dialect.skip_lines + (0 if is_named or not dialect.header else 1),
        encoding=dialect.encoding,
        short_records=dialect.short_records,
    )


def format_to_declare(profile: SampleProfile) -> Format | None:
    """The format that a contract declares, or None where the suffix of the file's name gives it."""
    usual = {
        ".csv": Csv(),
        ".tsv": Csv("\t"),
        ".psv": Csv("|"),
        ".json": Json(),
        ".geojson": Json(),
        ".ndjson": Ndjson(),
    }
    usual |= {".jsonl": Ndjson(), ".parquet": Parquet()}
    return None if usual.get(profile.suffix) == profile.declared_format else profile.declared_format


def text_contract(
    sources: Sequence[str], form: Format, records_key: str = "", types: Mapping[str, str] = MappingProxyType({})
) -> Contract:
    """A contract that reads each column as text, or as bytes or lists of parquet.

    Args:
        sources: Names of the columns in the file.
        form: Format of the file.
        records_key: See `Contract.records_key`.
        types: Types of columns of bytes or lists, by their names in the file.
    """
    columns = tuple(
        Column(f"c{place}", TYPES[types.get(name, "text")][1], "Text.", source=name)
        for place, name in enumerate(sources)
    )
    return Contract(
        "sample",
        "sample_staging.sample",
        "Text.",
        columns,
        format=form,
        records_key=records_key,
        absent_keys="null",
    )


def proposed_contract(profile: SampleProfile) -> Contract:
    """The contract that the profile proposes, without the names of its objects."""
    nulls, spelling = file_nulls(profile.columns), common_spelling(profile.columns)
    columns = tuple(
        Column(
            column.name,
            TYPES[column.kind.name][1],
            "Value.",
            source=column.source,
            nulls=own_nulls(column, nulls),
            spelling=own_spelling(column, spelling),
        )
        for column in profile.columns
    )
    return Contract(
        "sample",
        "sample_staging.sample",
        "Row.",
        columns,
        format=profile.declared_format,
        records_key=profile.records_key,
        absent_keys="null",
        nulls=nulls,
        spelling=spelling,
    )


def spelling_code(spelling: Spelling) -> str:
    """A spelling as Python code, without the fields that have their default value."""
    given = (f"{name}={value!r}" for name, value in vars(spelling).items() if value != getattr(AS_POSTGRES, name))
    return f"Spelling({', '.join(given)})"
