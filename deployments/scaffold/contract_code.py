"""The Python code of a new contract."""

from collections.abc import Iterator
from dataclasses import dataclass

from deployments.scaffold.pipeline import NewPipeline, code_of, comment_of
from tasks.contracts.formats import format_code
from tasks.contracts.spelling import AS_POSTGRES
from tasks.engine.samples.columns import ColumnProfile
from tasks.engine.samples.contracts import (
    TYPES,
    common_spelling,
    format_to_declare,
    own_nulls,
    own_spelling,
    spelling_code,
)
from tasks.engine.samples.profile import SampleProfile, file_nulls

_MODULES = {"JSONB": "jsonb", "TEXT_ARRAY": "arrays"}


@dataclass(frozen=True)
class ColumnCode:
    """A column of the contract.

    Attributes:
        code: The call of `Column`.
        notes: Comments above the call.
    """

    code: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ContractCode:
    """The parts of a contract's module.

    Attributes:
        columns: The columns.
        imports: Lines that import the types.
        options: Further arguments of the contract, each with its code.
        notes: What the sample leaves open.
        evidence: Where the types come from, for the docstring.
    """

    columns: tuple[ColumnCode, ...]
    imports: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    evidence: str


def contract_code(p: NewPipeline) -> ContractCode:
    """Return the code of a pipeline's contract."""
    profile = p.profile
    part = f"all {profile.row_count:,} rows" if profile.is_whole else f"the first {profile.row_count:,} rows"
    options = dict(_options(profile))
    columns = tuple(ColumnCode(_column(p, column), column.notes) for column in profile.columns)
    code = " ".join([*options.values(), *(column.code for column in columns)])
    return ContractCode(
        columns,
        tuple(_imports(profile, code)),
        tuple(options.items()),
        tuple(_notes(p)),
        f"{part} of {profile.uri.rpartition('/')[2]}",
    )


def _options(profile: SampleProfile) -> Iterator[tuple[str, str]]:
    if form := format_to_declare(profile):
        yield "format", format_code(form)
    if profile.records_key:
        yield "records_key", code_of(profile.records_key)
    if profile.format in (".json", ".ndjson"):
        yield "absent_keys", '"null"'
    if nulls := file_nulls(profile.columns):
        yield "nulls", repr(nulls)
    if (spelling := common_spelling(profile.columns)) != AS_POSTGRES:
        yield "spelling", spelling_code(spelling)


def _imports(profile: SampleProfile, code: str) -> Iterator[str]:
    names = {TYPES[column.kind.name][0].removesuffix("()") for column in profile.columns}
    yield from (f"from tasks.contracts.{module} import {name}" for name, module in _MODULES.items() if name in names)
    if plain := sorted(names - _MODULES.keys()):
        yield f"from tasks.contracts.types import {', '.join(plain)}"
    if form := format_to_declare(profile):
        yield f"from tasks.contracts.formats import {type(form).__name__}"
    if "Spelling(" in code:
        yield "from tasks.contracts.spelling import Spelling"


def _column(p: NewPipeline, column: ColumnProfile) -> str:
    parts = [code_of(column.name), TYPES[column.kind.name][0], code_of(comment_of(column) + ".")]
    if column.source != column.name:
        parts.append(f"source={code_of(column.source)}")
    if column.name in p.key:
        parts.append("nullable=False")
    if column.is_sensitive:
        parts.append("sensitive=True")
    if (nulls := own_nulls(column, file_nulls(p.profile.columns))) is not None:
        parts.append(f"nulls={nulls!r}")
    if spelling := own_spelling(column, common_spelling(p.profile.columns)):
        parts.append(f"spelling={spelling_code(spelling)}")
    return f"Column({', '.join(parts)})"


def _notes(p: NewPipeline) -> Iterator[str]:
    yield from p.profile.notes
    yield from p.pattern.notes
    if not p.key:
        numbers = "record numbers" if p.is_numbered else "line numbers"
        yield f"No column has the name of an identifier, so {numbers} identify the rows."
        if p.profile.keys:
            yield f"In the sample, these columns identify each row: {', '.join(p.profile.keys[0])}."
    elif p.has_line_key:
        yield "The names of the key's columns are too long for a constraint, so line numbers identify the rows."
    if p.profile.dropped:
        yield "The file has columns without a name and without a value, which the contract leaves out."
