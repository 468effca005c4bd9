"""Numbered migrations: changes of deployed tables that the DDL step does not make by itself.

`sql/<schema>/migrations/0001_<name>.py` is an Alembic revision: `revision = "0001"`, `down_revision = None` or the
number before, and `upgrade()`. The DDL step runs the migrations of a schema once, in order, in its own transaction. The
ledger records each with its checksum, beside the other DDL. A schema without tables gets its tables as they are now, so
its migrations are recorded and not run.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import sql

from tasks.engine.errors import SchemaDriftError, SqlFileError, errors_at
from tasks.engine.warehouse.tables import Connection

FOLDER = "migrations"
_NAME = re.compile(r"(\d{4})_\w+\.py")


@dataclass(frozen=True)
class Migration:
    """One file.

    Attributes:
        path: Where it is, for messages and the ledger.
        number: Its revision.
    """

    schema: str
    path: str
    number: str
    file: Path

    @property
    def digest(self) -> str:
        """Names the file's content."""
        return hashlib.sha256(self.file.read_bytes()).hexdigest()


def migrations_of(schema: str, root: Path) -> list[Migration]:
    """The migrations of a schema, in order.

    Raises:
        SqlFileError: The numbers are not 0001, 0002 and so on, each once.
    """
    files = sorted(path for path in (root / schema / FOLDER).glob("*.py"))
    found = []
    for place, file in enumerate(files, start=1):
        path, match = f"sql/{schema}/{FOLDER}/{file.name}", _NAME.fullmatch(file.name)
        if match is None or int(match[1]) != place:
            raise SqlFileError(
                f"{path}: expected the name {place:04}_<what it does>.py: migrations are numbered from 0001, without a"
                " gap, each number once. Rename the file"
            )
        found.append(Migration(schema, path, match[1], file))
    return found


def pending_migrations(schemas: Iterable[str], recorded: Mapping[str, str], root: Path) -> list[Migration]:
    """Migrations of some schemas that the ledger does not record, in order.

    Raises:
        SchemaDriftError: A migration was edited or removed after it ran, or one before it did not run.
    """
    pending: list[Migration] = []
    for schema in schemas:
        known = migrations_of(schema, root)
        prefix = f"sql/{schema}/{FOLDER}/"
        for path in recorded:
            if path.startswith(prefix) and path not in {each.path for each in known}:
                raise SchemaDriftError(
                    f"{path}: expected the file of a migration that was applied, found none. Restore it"
                )
        due = [each for each in known if each.path not in recorded]
        for each in known:
            if each.path in recorded and recorded[each.path] != each.digest:
                raise SchemaDriftError(
                    f"{each.path}: expected the file as it was applied (sha256 {recorded[each.path]}), found another"
                    f" (sha256 {each.digest}). Restore it, and put the change into a new migration"
                )
            if each.path in recorded and due and due[0].number < each.number:
                raise SchemaDriftError(
                    f"{due[0].path}: expected migrations in order, found {each.path} applied before it. Give the new"
                    " migration the next number"
                )
        pending += due
    return pending


def run_migrations(connection: Connection, migrations: Sequence[Migration], root: Path) -> None:
    """Run migrations in the transaction that is open.

    Raises:
        SqlFileError: The revisions of the files do not follow each other.
        WarehouseError: Postgres refused a statement of a migration; nothing of any stays.
    """
    if not migrations:
        return
    # Both are slow to import, and there is seldom a migration to run.
    from alembic.operations import Operations  # noqa: PLC0415
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415
    from sqlalchemy.pool import StaticPool  # noqa: PLC0415

    upgrades = {
        each.path: upgrade for schema in {m.schema for m in migrations} for each, upgrade in _upgrades(schema, root)
    }
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: _JoinedConnection(connection),
        poolclass=StaticPool,
        use_native_hstore=False,
    )
    with engine.connect() as joined:
        context = MigrationContext.configure(joined)
        for migration in migrations:
            with errors_at(f"migration {migration.path}"), Operations.context(context):
                try:
                    upgrades[migration.path]()
                except DBAPIError as error:
                    raise error.orig or error from error


def migration_text(migration: Migration, root: Path) -> str:
    """The statements of a migration, without running it; where it must read to know them, only that it would run."""
    import io  # noqa: PLC0415

    from alembic.operations import Operations  # noqa: PLC0415
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

    buffer = io.StringIO()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": buffer})
    with Operations.context(context):
        try:
            dict(_upgrades(migration.schema, root))[migration]()
        except Exception as error:
            return f"-- runs, and reads before it writes ({type(error).__name__})"
    return buffer.getvalue().strip()


def _upgrades(schema: str, root: Path) -> list[tuple[Migration, Any]]:
    """The migrations of a schema with their `upgrade` functions, in the order of their revisions."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    folder = root / schema / FOLDER
    known = migrations_of(schema, root)
    scripts = ScriptDirectory(folder, version_locations=[folder])
    try:
        revisions = list(scripts.walk_revisions())[::-1]
        heads = scripts.get_heads()
    except CommandError as error:
        raise SqlFileError(
            f"sql/{schema}/{FOLDER}: expected revisions that follow each other, found: {error}"
        ) from error
    if [revision.revision for revision in revisions] != [each.number for each in known] or len(heads) > 1:
        raise SqlFileError(
            f"sql/{schema}/{FOLDER}: expected the revisions {', '.join(each.number for each in known)} in one line,"
            f" found {', '.join(revision.revision for revision in revisions)} with heads {', '.join(heads)}. Set"
            " revision to the number of the file, and down_revision to the number before it"
        )
    return [(each, revision.module.upgrade) for each, revision in zip(known, revisions, strict=True)]


class _JoinedConnection:
    """The connection of the DDL step for SQLAlchemy, which must not end its transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        """The DDL step commits."""

    def rollback(self) -> None:
        """The DDL step rolls back, with the error that leaves the migration."""

    def close(self) -> None:
        """The DDL step closes it."""


def check_recorded(
    schema: str, tables: Iterable[str], recorded: Mapping[str, str], pending: Sequence[Migration]
) -> None:
    """See that the ledger knows a schema with tables before its first migrations run.

    Raises:
        SchemaDriftError: It records none of the tables: it was dropped, and nobody knows which migrations ran.
    """
    tables = list(tables)
    if pending and tables and not recorded.keys() & set(tables):
        values = ",\n".join(f"    ({sql.Literal(each.path).as_string()}, '{each.digest}')" for each in pending)
        raise SchemaDriftError(
            f"schema {schema}: expected ledger.applied_files to record {tables[0]}, found no entry: the ledger was"
            " dropped, so nobody knows which migrations ran. Record those that ran, and run again:\n"
            f"INSERT INTO ledger.applied_files (path, sha256) VALUES\n{values};"
        )
