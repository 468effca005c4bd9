"""The statements that a `table.sql` may contain: the DDL step can compare their effect with the database.

The step compares tables, views, indexes, constraints and comments. It would apply any other statement once and never
notice a change. Functions and triggers therefore belong to a migration, rows to a query, and rights to the grants.
"""

import re

from tasks.engine.build.sql_code import statements_of
from tasks.engine.errors import SqlFileError
from tasks.engine.quoting import quoted

ALLOWED = "CREATE TABLE, CREATE VIEW, CREATE INDEX, COMMENT ON TABLE, COMMENT ON VIEW, COMMENT ON COLUMN"
_ALLOWED = re.compile(
    r"CREATE TABLE (?!.*\bPARTITION OF\b)|CREATE (?:OR REPLACE )?VIEW |CREATE (?:UNIQUE )?INDEX "
    r"|COMMENT ON (?:TABLE|VIEW|COLUMN) ",
    re.IGNORECASE,
)


def check_ddl(text: str, address: str) -> None:
    """Refuse a statement of a `table.sql` whose effect the DDL step would not compare.

    Args:
        text: Content of the file.
        address: Path of the file, for messages.

    Raises:
        SqlFileError: The file contains another statement than the allowed ones.
    """
    if refused := [statement for statement in statements_of(text, "''") if not _ALLOWED.match(statement)]:
        raise SqlFileError(
            f"{address}: expected only {ALLOWED}, found {quoted(refused[0])}. The DDL step would not notice a change of"
            " this statement. Put it into a migration in sql/<schema>/migrations/. A query.sql writes rows, and"
            " `python -m deployments.grants` grants rights"
        )
