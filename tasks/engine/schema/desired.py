"""The tables and views that contracts and files define, and their description in Postgres' catalog.

Postgres itself interprets the DDL: the DDL runs in scratch schemas, the module reads the catalog, and a savepoint rolls
back all changes. So Tally does not parse SQL.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from psycopg import sql

from tasks.contracts import Contract
from tasks.engine.build.ddl_statements import check_ddl
from tasks.engine.build.sql_files import ROOT, SqlTable, tables_of
from tasks.engine.errors import errors_at
from tasks.engine.schema.relations import Relation, read_relations
from tasks.engine.warehouse.tables import Connection, ingested_ddl, staging_ddl

SCRATCH = "tally_scratch"
_VIEW = re.compile(r"^CREATE (?:OR REPLACE )?VIEW\b", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class WantedObject:
    """A table or a view that should exist.

    Attributes:
        name: `schema.name`.
        ddl: DDL of the object, with its indexes and comments.
        origin: Contract or file of the object, for messages.
        dataset: Dataset of a staging table; None for other objects.
        is_shared: Whether another owner may own the table. The step creates a missing shared table, and never changes
            an existing one.
        is_generated: Whether the object is a view that the step derives from a contract, and may drop at any time.
    """

    name: str
    ddl: sql.SQL | sql.Composed
    origin: str
    dataset: str | None = None
    is_shared: bool = False
    is_generated: bool = False
    _digests: list[str] = field(default_factory=list, repr=False, compare=False)

    @property
    def schema(self) -> str:
        """Schema of the object."""
        return self.name.split(".")[0]

    @property
    def is_view(self) -> bool:
        """Whether the DDL creates a view."""
        return self.dataset is None and bool(_VIEW.search(self.ddl.as_string()))

    def digest(self, connection: Connection) -> str:
        """Digest of the DDL; a changed text has another digest. All sessions spell the DDL alike."""
        if not self._digests:
            self._digests.append(hashlib.sha256(self.ddl.as_bytes(connection)).hexdigest())
        return self._digests[0]


def wanted_objects(contracts: Sequence[Contract], schemas: Sequence[str], root: Path = ROOT) -> list[WantedObject]:
    """The ledger, the staging tables, and the tables of some schemas, each after the tables that it reads.

    The next call returns the same objects, with their digests, for the same contracts and the same texts.

    Raises:
        SqlFileError: A `table.sql` contains a statement that the DDL step does not compare.
    """
    wanted = [_of_file(table) for table in tables_of("ledger", root)]
    for contract in contracts:
        wanted += _of_contract(contract)
    for schema in schemas:
        wanted += [_of_file(table) for table in tables_of(schema, root) if table.text("table.sql")]
    return wanted


@lru_cache(maxsize=200)
def _of_contract(contract: Contract) -> tuple[WantedObject, WantedObject]:
    origin = f"contract {contract.dataset}"
    return (
        WantedObject(contract.table, staging_ddl(contract), origin, contract.dataset),
        WantedObject(contract.ingested, ingested_ddl(contract), origin, is_generated=True),
    )


def _of_file(table: SqlTable) -> WantedObject:
    return _of_text(table.name, table.text("table.sql"), table.address("table.sql"), is_shared=table.is_shared)


@lru_cache(maxsize=500)
def _of_text(name: str, text: str, address: str, *, is_shared: bool) -> WantedObject:
    check_ddl(text, address)
    return WantedObject(name, sql.SQL(text), address, is_shared=is_shared)


def desired_relations(connection: Connection, wanted: Iterable[WantedObject]) -> dict[str, Relation]:
    """Describe the tables and views that some DDL would create, by name, without a lasting change.

    Args:
        connection: In a transaction.
        wanted: Objects, each after the objects that it refers to. Other references go to the real tables.

    Raises:
        WarehouseError: A piece of DDL is wrong; the message names its origin.
    """
    wanted = list(wanted)
    schemas = list(dict.fromkeys(each.schema for each in wanted))
    own = "|".join(rf'"?{schema}"?\."?{name}"?' for schema, name in (each.name.split(".") for each in wanted))
    pattern = re.compile(rf"(?<![\w.])(?:{own})(?!\w)")

    def to_scratch(match: re.Match[str]) -> str:
        schema, name = match[0].replace('"', "").split(".")
        return f'{SCRATCH}_{schemas.index(schema)}."{name}"'

    def from_scratch(text: str) -> str:
        return re.sub(rf"{SCRATCH}_(\d+)\.(\"?)(\w+)\2", lambda found: f"{schemas[int(found[1])]}.{found[3]}", text)

    with connection.transaction(force_rollback=True):
        for place in range(len(schemas)):
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(f"{SCRATCH}_{place}")))
        for each in wanted:
            with errors_at(f"DDL of {each.name}, {each.origin}"):
                connection.execute(sql.SQL(pattern.sub(to_scratch, each.ddl.as_string(connection))))
        names = [f"{SCRATCH}_{schemas.index(each.schema)}.{each.name.split('.')[1]}" for each in wanted]
        return read_relations(connection, names, from_scratch)


def moved_ddl(connection: Connection, each: WantedObject, schema: str) -> sql.SQL:
    """The DDL of a table with another schema for the table itself; all other names remain."""
    own, name = each.name.split(".")
    pattern = re.compile(rf'(?<![\w.])"?{own}"?\."?{name}"?(?!\w)')
    return sql.SQL(pattern.sub(f'{schema}."{name}"', each.ddl.as_string(connection)))
