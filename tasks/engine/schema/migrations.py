"""Numbered migrations: changes of deployed tables that the DDL step does not make on its own.

`sql/<schema>/migrations/0001_<name>.py` is an Alembic revision: `revision = "0001"`, `down_revision = None` or the
previous number, and `upgrade()`. The DDL step runs the migrations of a schema once, in order, in its own transaction.
The ledger records the checksum of each migration. A new schema gets its tables in their current form, so the DDL step
records the migrations of a new schema without running them.
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
    """One migration file.

    Attributes:
        schema: Schema of the migration.
        path: Path of the file, for messages and the ledger.
        number: Revision of the migration.
        file: The file.
    """

    schema: str
    path: str
    number: str
    file: Path

    @property
    def digest(self) -> str:
        """Digest of the file's content."""
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
        SchemaDriftError: A migration was edited or removed after it ran, or an earlier migration did not run.
    """
    pending: list[Migration] = []
    for schema in schemas:
        known = migrations_of(schema, root)
        prefix = f"sql/{schema}/{FOLDER}/"
        for path in recorded:
            if path.startswith(prefix) and path not in {each.path for each in known}:
                raise SchemaDriftError(
                    f"{path}: expected the file of an applied migration, found no file. Restore the file"
                )
        due = [each for each in known if each.path not in recorded]
        for each in known:
            if each.path in recorded and recorded[each.path] != each.digest:
                raise SchemaDriftError(
                    f"{each.path}: expected the applied file (sha256 {recorded[each.path]}), found an edited file"
                    f" (sha256 {each.digest}). Restore the file, and put the change into a new migration"
                )
            if each.path in recorded and due and due[0].number < each.number:
                raise SchemaDriftError(
                    f"{due[0].path}: expected migrations in order, found {each.path} applied earlier. Give the new"
                    " migration the next number"
                )
        pending += due
    return pending


def run_migrations(connection: Connection, migrations: Sequence[Migration], root: Path) -> None:
    """Run migrations in the open transaction.

    Raises:
        SqlFileError: The revisions of the files do not follow each other.
        WarehouseError: Postgres refused a statement of a migration; no change of any migration remains.
    """
    if not migrations:
        return
    # Both are slow to import, and migrations are rare.
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
    """The statements of a migration, without running it; a note for a migration that reads before it writes."""
    import io  # noqa: PLC0415

    from alembic.operations import Operations  # noqa: PLC0415
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

    buffer = io.StringIO()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": buffer})
    with Operations.context(context):
        try:
            dict(_upgrades(migration.schema, root))[migration]()
        except Exception as error:
            return f"-- reads before it writes, so a plan cannot show its statements ({type(error).__name__})"
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
            f"sql/{schema}/{FOLDER}: expected the revisions {', '.join(each.number for each in known)} one after the"
            f" other, found {', '.join(revision.revision for revision in revisions)} with heads {', '.join(heads)}. Set"
            " revision to the number of the file, and down_revision to the previous number"
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
        """The DDL step rolls back after an error of the migration."""

    def close(self) -> None:
        """The DDL step closes the connection."""


def check_recorded(
    schema: str, tables: Iterable[str], recorded: Mapping[str, str], pending: Sequence[Migration]
) -> None:
    """Check that the ledger has a record of a schema with tables before the schema's first migrations run.

    Raises:
        SchemaDriftError: The ledger has no record of the tables. It was dropped, so the applied migrations are unknown.
    """
    tables = list(tables)
    if pending and tables and not recorded.keys() & set(tables):
        values = ",\n".join(f"    ({sql.Literal(each.path).as_string()}, '{each.digest}')" for each in pending)
        raise SchemaDriftError(
            f"schema {schema}: expected ledger.applied_files to record {tables[0]}, found no entry: the ledger was"
            " dropped, so the applied migrations are unknown. Record the applied migrations, and run again:\n"
            f"INSERT INTO ledger.applied_files (path, sha256) VALUES\n{values};"
        )
