"""`ledger.datasets`: the facts of the contracts that SQL reads, written by the DDL step."""

import hashlib
import json
from collections.abc import Iterable, Mapping

from psycopg import sql

from tasks.contracts import Contract
from tasks.engine.schema.applied_ddl import write_applied
from tasks.engine.warehouse.tables import Connection

TABLE = "ledger.datasets"
RECORD = "tasks/contracts"
"""Path of the contracts' digest in `ledger.applied_files`."""


def dataset_facts(contract: Contract) -> dict[str, str | int | None]:
    """The facts of one contract, by column of `ledger.datasets`."""
    expected = contract.expected
    return {
        "dataset": contract.dataset,
        "pipeline": contract.pipeline,
        "staging_table": contract.table,
        "description": contract.description,
        "partition_column": contract.partition.column if contract.partition else None,
        "partition_unit": contract.partition.unit if contract.partition else None,
        "is_optional": contract.is_optional,
        "expected_days": expected.days if expected else None,
        "expected_at": expected.at.isoformat() if expected else None,
        "expected_timezone": expected.timezone if expected else None,
    }


def datasets_digest(catalog: Mapping[str, Contract]) -> str:
    """Digest of the facts of all contracts. The ledger records the digest, so an unchanged catalog costs no query."""
    facts = [dataset_facts(catalog[dataset]) for dataset in sorted(catalog)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def are_current(catalog: Mapping[str, Contract], recorded: Mapping[str, str]) -> bool:
    """Whether the ledger holds the facts of all contracts of the catalog.

    Args:
        catalog: All contracts, by dataset.
        recorded: Digests from `ledger.applied_files`, by path.
    """
    return recorded.get(RECORD) == datasets_digest(catalog)


def write_datasets(
    connection: Connection, catalog: Mapping[str, Contract], used: Iterable[Contract], recorded: Mapping[str, str]
) -> bool:
    """Write the facts of contracts that differ from `ledger.datasets`, in the transaction of the DDL step.

    After a change of the catalog, datasets that no contract declares become inactive. Their entries remain, because the
    ledger still holds their loads.

    Args:
        connection: In a transaction.
        catalog: All contracts, by dataset.
        used: Contracts of the current run, which the catalog need not contain.
        recorded: Digests from `ledger.applied_files`, by path.

    Returns:
        Whether an entry changed.
    """
    is_current = are_current(catalog, recorded)
    wanted = {**({} if is_current else catalog), **{contract.dataset: contract for contract in used}}
    facts = [{**dataset_facts(contract), "is_active": True} for contract in wanted.values()]
    changed = 0
    if facts:
        cursor = connection.cursor()
        cursor.executemany(_upsert(facts[0]), facts)
        changed += cursor.rowcount
    if not is_current:
        changed += connection.execute(
            "UPDATE ledger.datasets SET is_active = false, changed_at = DEFAULT"
            " WHERE is_active AND NOT dataset = ANY(%s)",
            [list(wanted)],
        ).rowcount
        write_applied(connection, RECORD, datasets_digest(catalog))
    return changed > 0


def _upsert(columns: Iterable[str]) -> sql.Composed:
    columns = list(columns)
    names = [name for name in columns if name != "dataset"]
    return sql.SQL(
        "INSERT INTO ledger.datasets AS d ({columns}) VALUES ({values}) ON CONFLICT (dataset) DO UPDATE SET"
        " changed_at = DEFAULT, {changes} WHERE ({old}) IS DISTINCT FROM ({new})"
    ).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        values=sql.SQL(", ").join(map(sql.Placeholder, columns)),
        changes=sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in names),
        old=sql.SQL(", ").join(sql.Identifier("d", name) for name in names),
        new=sql.SQL(", ").join(sql.Identifier("excluded", name) for name in names),
    )
