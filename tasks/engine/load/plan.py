"""The plan of a load: reports the effects of a load and the match of the columns without writing anything."""

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from tasks.contracts import Contract
from tasks.contracts.catalog import contracts
from tasks.contracts.formats import Csv, FixedWidth, Json, Ndjson, Parquet
from tasks.contracts.keys import partition_value
from tasks.engine import ledger
from tasks.engine.build.lineage import roots_of, tables_in_order
from tasks.engine.build.sql_files import ROOT
from tasks.engine.errors import ContractError, Permanent, errors_at
from tasks.engine.formats.batches import CHUNK_BYTES
from tasks.engine.formats.columns import match_columns
from tasks.engine.formats.csv_header import read_header
from tasks.engine.formats.csv_reader import chunks_of
from tasks.engine.formats.encodings import utf8_of
from tasks.engine.formats.format_hints import named_causes
from tasks.engine.formats.object_formats import format_of, is_seekable
from tasks.engine.lake.client import Lake
from tasks.engine.load.loader import same_load
from tasks.engine.load.planned import ColumnPlan, ObjectPlan, Plan
from tasks.engine.load.sample_check import check_sample
from tasks.engine.load.sampling import read_sample
from tasks.engine.load.shrink_guard import check_shrink
from tasks.engine.masking import masked_name, may_show_names
from tasks.engine.receipts import ObjectRef
from tasks.engine.schema.ddl import due_changes
from tasks.engine.settings import RunSettings
from tasks.engine.warehouse.partitions import partition_table
from tasks.engine.warehouse.tables import Connection, has_table

CSV_BYTES = 1 << 16
"""Number of bytes of CSV that are read at once to find the header."""

MOST_SAMPLES = 20
"""Maximum number of objects whose rows a plan checks."""

LEDGER = ("ledger.loads", "ledger.rejected_rows")


def plan_loads(
    connection: Connection, lake: Lake, contract: Contract, sources: Sequence[ObjectRef], settings: RunSettings
) -> Plan:
    """Plan the load of some objects. The plan uses a sample of each object and the ledger, and writes nothing.

    If there are many objects, the plan checks the rows of `MOST_SAMPLES` of them. A read-only transaction reads the
    ledger. A second transaction determines the changes of the DDL step and is rolled back.

    Raises:
        TallyError: The lake or the warehouse does not answer.
    """
    with errors_at(f"plan of {contract.table}"), connection.transaction():
        connection.execute("SET TRANSACTION READ ONLY")
        wanted = [*LEDGER, contract.table]
        if contract.partition:
            wanted += sorted({partition_table(contract, partition_value(source.partition)) for source in sources})
        created = tuple(table for table in wanted if not has_table(connection, table))
        objects = tuple(
            _plan_object(connection, lake, contract, source, has_ledger="ledger.loads" not in created)
            for source in sources
        )
    with errors_at(f"plan of the DDL of {contract.table}"):
        statements, drift = _plan_ddl(connection, contract)
    return Plan(
        contract.dataset, contract.table, created, _checked(lake, contract, objects, settings), statements, drift
    )


def _checked(
    lake: Lake, contract: Contract, objects: Sequence[ObjectPlan], settings: RunSettings
) -> tuple[ObjectPlan, ...]:
    """Check the rows of samples of the objects that would be loaded: of all objects, or of some at equal distances."""
    readable = [place for place, planned in enumerate(objects) if planned.action != "nothing" and not planned.error]
    count = min(len(readable), MOST_SAMPLES)
    chosen = {readable[place * len(readable) // count] for place in range(count)}
    return tuple(
        _with_check(lake, contract, planned, settings) if place in chosen else planned
        for place, planned in enumerate(objects)
    )


def _with_check(lake: Lake, contract: Contract, planned: ObjectPlan, settings: RunSettings) -> ObjectPlan:
    try:
        sample = read_sample(lake, contract, planned.source, settings.chunk_bytes)
    except Permanent as unreadable:
        return replace(planned, error=str(unreadable))
    checked = replace(planned, check=(check := check_sample(contract, sample, settings)))
    if check.is_whole and not check.would_fail:
        kept = check.row_total - check.rejected_total
        try:
            check_shrink(contract, planned.source.uri, settings, before=planned.rows_replaced, after=kept, force=False)
        except Permanent as too_small:
            return replace(checked, error=str(too_small))
    return checked


def _plan_ddl(connection: Connection, contract: Contract) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the statements of the DDL step for the dataset's table and the tables that derive from it."""
    tables, known = tables_in_order(ROOT), contracts()
    roots = roots_of(tables, [each.table for each in known.values()])
    derived = [name for name, table in tables.items() if contract.table in roots[name] and table.text("table.sql")]
    schemas = list(dict.fromkeys(name.split(".")[0] for name in derived))
    needed = {root for name in derived for root in roots[name]} - {contract.table}
    others = [each for each in known.values() if each.table in needed]
    with connection.transaction(force_rollback=True):
        plan = due_changes(connection, [contract, *others], schemas)
        texts = tuple(statement.as_string(connection).strip() for _, statement in plan.statements)
    return texts, tuple(plan.refused)


def _plan_object(
    connection: Connection, lake: Lake, contract: Contract, source: ObjectRef, *, has_ledger: bool
) -> ObjectPlan:
    earlier = (
        ledger.find_load(connection, contract.dataset, source, is_appended=contract.is_appended) if has_ledger else None
    )
    if earlier and same_load(connection, contract, source):
        return ObjectPlan(source, "nothing", 0)
    action: Literal["load", "replace"] = "replace" if earlier else "load"
    rows_replaced = ledger.count_current_rows(connection, earlier.load_id) if earlier else 0
    try:
        seeks = is_seekable(source.uri, contract)
        with lake.open(source, lambda _: None, is_ahead=False, is_seekable=seeks) as file:
            names, error = _read_begin(file, contract, source)
        columns = match_names(contract, names) if names else ()
        places = [names.index(column.found) for column in columns if column.found]
        is_reordered = not is_json(source.uri, contract) and places != sorted(places)
        return ObjectPlan(
            source,
            action,
            rows_replaced,
            columns,
            unknown_names(contract, names) if may_show_names(contract, names) else (),
            is_reordered,
            error,
        )
    except Permanent as unreadable:
        return ObjectPlan(source, action, rows_replaced, error=str(unreadable))


def _read_begin(file: io.BufferedReader, contract: Contract, source: ObjectRef) -> tuple[list[str], str | None]:
    """Names of an object's columns, and why the columns do not fit the contract; None where they fit.

    Raises:
        UnreadableObjectError: The beginning cannot be read; the message names the actual format if the bytes show it.
    """
    names: list[str] = []
    try:
        with named_causes(file, source.uri, contract, *format_of(source.uri, contract)):
            names = read_names(file, source.uri, contract)
            _check_names(contract, names, source)
    except ContractError as error:
        return names, str(error)
    return names, None


def _check_names(contract: Contract, names: Sequence[str], source: ObjectRef) -> None:
    """Refuse names that do not fit the contract.

    Raises:
        ContractError: Columns are missing, duplicated, or unknown where the contract forbids that.
    """
    if not names:
        return  # an object without a header or without records is valid and has no rows
    known = contract.sources if is_json(source.uri, contract) and contract.absent_keys == "null" else ()
    match_columns(contract, [*names, *(name for name in known if name not in names)], source.uri)


def is_json(name: str, contract: Contract) -> bool:
    """Return whether each record of an object has its own keys."""
    return isinstance(format_of(name, contract)[0], Json)


def match_names(contract: Contract, names: Sequence[str]) -> tuple[ColumnPlan, ...]:
    """Match the columns of a contract with the names in an object."""
    columns = []
    for source, aliases in contract.sources.items():
        found = [name for name in names if name in (source, *aliases)]
        if len(found) > 1:
            columns.append(ColumnPlan(source, found[0], "duplicated"))
        elif not found:
            columns.append(ColumnPlan(source, None, "missing"))
        else:
            columns.append(ColumnPlan(source, found[0], "matched" if found[0] == source else "aliased"))
    return tuple(columns)


def unknown_names(contract: Contract, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names in an object that the contract does not declare."""
    known = {name for source, aliases in contract.sources.items() for name in (source, *aliases)}
    return tuple(masked_name(contract, name) for name in names if name not in known)


def read_names(file: io.BufferedReader, name: str, contract: Contract) -> list[str]:
    """Read the names of an object's columns from its beginning. For JSON, they are the keys of the first records.

    Raises:
        ContractError: The contract declares no format, and the object's name has no known suffix.
        UnreadableObjectError: The beginning cannot be read.
    """
    form, compression = format_of(name, contract)
    if isinstance(form, FixedWidth):
        return list(form.names)
    if isinstance(form, Parquet):
        return _read_parquet_names(file, name)
    from tasks.engine.formats.compressed_streams import decompressed, errors_of_bytes  # noqa: PLC0415 - plans only
    from tasks.engine.formats.json_reader import read_keys  # noqa: PLC0415 - plans only

    with errors_of_bytes(name):
        plain = decompressed(file, name, compression, CHUNK_BYTES) if compression else file
        text = utf8_of(plain, form.encoding)
        if isinstance(form, Csv):
            return read_header(chunks_of(text, CSV_BYTES), form).names
        return read_keys(text, name, contract, is_document=not isinstance(form, Ndjson))


def _read_parquet_names(file: io.BufferedReader, name: str) -> list[str]:
    from tasks.engine.formats.parquet_files import errors_of_bytes, open_parquet  # noqa: PLC0415 - slow to import

    with errors_of_bytes(name):
        return open_parquet(file, name).names
