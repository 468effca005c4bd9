"""The statements that a `table.sql` may contain: those whose effect the DDL step compares with the database.

The step compares tables, views, indexes, constraints and comments. It would apply any other statement once and never
see a change, so a function, a trigger, a right or a row belongs to a migration, a query or the grants.
"""

import re
from collections.abc import Iterator

from tasks.engine.errors import SqlFileError
from tasks.engine.quoting import quoted

ALLOWED = "CREATE TABLE, CREATE VIEW, CREATE INDEX, COMMENT ON TABLE, COMMENT ON VIEW, COMMENT ON COLUMN"
_ALLOWED = re.compile(
    r"CREATE TABLE (?!.*\bPARTITION OF\b)|CREATE (?:OR REPLACE )?VIEW |CREATE (?:UNIQUE )?INDEX "
    r"|COMMENT ON (?:TABLE|VIEW|COLUMN) ",
    re.IGNORECASE,
)
_TOKENS = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?\*/)"
    r"|(?P<text>\b[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)"
    r"|(?P<end>;)",
    re.DOTALL,
)


def check_ddl(text: str, address: str) -> None:
    """Refuse a statement of a `table.sql` whose effect the DDL step would not compare.

    Args:
        text: Of the file.
        address: Of the file, for messages.

    Raises:
        SqlFileError: There is such a statement.
    """
    if refused := [statement for statement in statements_of(text) if not _ALLOWED.match(statement)]:
        raise SqlFileError(
            f"{address}: expected only {ALLOWED}, found {quoted(refused[0])}; the DDL step would not see when this"
            " statement changes. Write the statement into a migration, sql/<schema>/migrations/, rights into"
            " grants.sql, and rows into a query.sql"
        )


def statements_of(text: str) -> Iterator[str]:
    """The statements of an SQL text, without comments, and with one blank in place of all white space.

    A literal or a quoted name becomes `''`, so that its words count for nothing.
    """
    kept, place = "", 0
    for token in [*_TOKENS.finditer(text), None]:
        kept += text[place : token.start() if token else len(text)]
        place = token.end() if token else len(text)
        if token and token["text"]:
            kept += "''"
        elif token and token["comment"]:
            kept += " "
        else:
            if statement := " ".join(kept.split()):
                yield statement
            kept = ""
