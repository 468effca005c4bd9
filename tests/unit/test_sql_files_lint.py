"""The rules of every file under `sql/`. `tests/integration/test_sql_files.py` checks the names of constraints."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlfluff
from sqlfluff.core import FluffConfig, Linter

from tasks.engine.build.ddl_statements import check_ddl
from tasks.engine.build.sql_code import statements_of
from tasks.engine.build.sql_files import FILES, HEADER_KEYS, OPTIONAL_KEYS, ROOT, TRACE, SqlTable, sql_table
from tasks.engine.errors import SqlFileError
from tasks.engine.explain.traces import trace_errors, written_trace
from tasks.engine.schema.rebuilds import rebuild_errors

REQUIRED = {
    "table.sql": ("grain", "key", "sources", "write disposition"),
    "query.sql": HEADER_KEYS,
    "affected_keys.sql": ("grain", "sources"),
    "checks.sql": (),
}
SELECTS = {"select_statement", "with_compound_statement", "set_expression"}
NO_READING = {
    "insert_statement",
    "update_statement",
    "delete_statement",
    "merge_statement",
    "into_clause",
    "for_clause",
    "unparsable",
}
# Functions whose result differs between runs, days or servers.
UNSTABLE = re.compile(
    r"\b(?:now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|random|random_normal"
    r"|gen_random_uuid|uuidv4|uuidv7|version)\s*\("
    r"|\b(?:current_date|current_time|current_timestamp|localtime|localtimestamp)\b"
    r"|\b(?:date|time|timestamp|timestamptz)\s*'(?:now|today|tomorrow|yesterday)'"
    r"|'(?:now|today|tomorrow|yesterday)'\s*::"
    r"|\bTABLESAMPLE\b",
    re.IGNORECASE,
)
PLACEHOLDER = re.compile(r"%\((\w+)\)s")
PARSED = ROOT.parent / ".sqlfluff_cache" / "parsed"
CONFIGURATION = (ROOT.parent / "pyproject.toml").read_text(encoding="utf-8")
PARSER = Linter(config=FluffConfig.from_path(str(ROOT.parent)))


def code_of(text: str) -> str:
    """The file without its comments. Two dashes in a string begin no comment."""
    return re.sub(r"('(?:[^']|'')*')|--[^\n]*|/\*.*?\*/", r"\1", text, flags=re.DOTALL)


def statements(text: str) -> list[tuple[str, set[str]]]:
    """Kind of each statement, and the kinds of its parts; `unparsable` for invalid SQL.

    A file caches the result for each text and configuration, because sqlfluff is slow.
    """
    key = "\0".join([sqlfluff.__version__, CONFIGURATION, text])
    kept = PARSED / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
    if not kept.exists():
        PARSED.mkdir(parents=True, exist_ok=True)
        new = kept.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps([(kind, sorted(parts)) for kind, parts in parsed(text)]))
        new.replace(kept)
    return [(kind, set(parts)) for kind, parts in json.loads(kept.read_text())]


def parsed(text: str) -> Iterator[tuple[str, set[str]]]:
    variant = PARSER.parse_string(text).root_variant()
    if variant is None or variant.tree is None:
        yield "unparsable", set()
        return
    for statement in variant.tree.recursive_crawl("statement", "unparsable", recurse_into=False):
        kind = statement.type if statement.type == "unparsable" else statement.segments[0].type
        yield kind, {part.type for part in statement.recursive_crawl_all()}


def select_errors(text: str) -> Iterator[str]:
    kinds = statements(text)
    if len(kinds) != 1 or kinds[0][0] not in SELECTS:
        yield f"expected one SELECT, found {[kind for kind, _ in kinds]}"
    for _, parts in kinds:
        if other := parts & NO_READING:
            yield f"expected a SELECT that only reads, found {sorted(other)}"


def header_errors(table: SqlTable, file: str) -> Iterator[str]:
    text, header = table.text(file), table.header(file)
    if missing := [key for key in REQUIRED[file] if not header.get(key)]:
        yield f"expected {missing} in the header"
    if header.get("access", "loader") not in {"loader", "owner"}:
        yield f"expected access to be loader or owner, found {header['access']}"
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        key = re.match(r"-- ?(\S[^:]*):", line)
        if not line.startswith("--   ") and (key is None or key[1] not in (*HEADER_KEYS, *OPTIONAL_KEYS)):
            yield f"expected `-- key:` with a key of {list(HEADER_KEYS)}, or `--   ` where a line goes on, found {line}"


def source_errors(table: SqlTable, file: str) -> Iterator[str]:
    """The sources of a header must be those of the file, because they decide the order of builds."""
    named = set(re.findall(r"\w+\.\w+", table.header(file).get("sources", ""))) - {table.name}
    read = re.findall(r"\b(?:FROM|JOIN|REFERENCES)\s+(\w+\.\w+)", code_of(table.text(file)), re.IGNORECASE)
    if named != set(read) - {table.name}:
        yield f"expected the sources {sorted(set(read))} in the header, found {sorted(named)}"


def parameter_errors(table: SqlTable) -> Iterator[str]:
    listed = re.sub(r"\([^)]*\)", "", table.header("query.sql").get("parameters", ""))
    named = {name.strip() for name in listed.split(",")} - {"", "none"}
    used = set(PLACEHOLDER.findall(code_of(table.text("query.sql") + table.text("affected_keys.sql"))))
    if named != used:
        yield f"expected the parameters {sorted(used)} in the header, found {sorted(named)}"
    if unknown := set(PLACEHOLDER.findall(table.text("checks.sql"))) - used:
        yield f"checks.sql: expected parameters of the query, {sorted(used)}, found {sorted(unknown)}"


def disposition_errors(table: SqlTable) -> Iterator[str]:
    """Check the write disposition of a built table; a query without a table needs no disposition."""
    try:
        if table.text("table.sql") and table.text("query.sql"):
            _ = table.disposition
        elif table.text("affected_keys.sql"):
            yield "expected a table.sql and a query.sql beside affected_keys.sql"
    except SqlFileError as error:
        yield str(error)


def rebuild_lines(table: SqlTable) -> Iterator[str]:
    """Check a table that declares `rebuild: from query`."""
    if "rebuild" in table.header("table.sql"):
        yield from rebuild_errors(table)


def ddl_errors(table: SqlTable) -> Iterator[str]:
    try:
        check_ddl(table.text("table.sql"), table.address("table.sql"))
    except SqlFileError as error:
        yield str(error)


def trace_file_errors(table: SqlTable) -> Iterator[str]:
    """Every row of a built table must be explained, by its key or by `trace.sql`."""
    if table.text(TRACE) and not table.is_built:
        yield "expected a table.sql and a query.sql beside trace.sql"
    elif table.is_built and not (table.is_shared and not table.reads):
        yield from trace_errors(table, table.folder.parents[1])
    trace = written_trace(table)
    for step in trace.steps if trace else ():
        yield from select_errors(step.select)
        yield from value_errors(step.select)
        if not re.search(rf"\bFROM\s+{re.escape(step.source)}\b", step.select):
            yield f"expected the rows of {step.source}, found a SELECT of another table"


def check_errors(text: str) -> Iterator[str]:
    if not re.match(r"-- (?:fail|warn): \S", text):
        yield "expected `-- fail: name` or `-- warn: name` in the first line"
    for line in re.findall(r"^--.*", text, re.MULTILINE):
        if not re.match(r"-- (?:fail|warn): \S|--   ", line):
            yield f"expected `-- fail: name`, `-- warn: name` or an indented comment, found {line}"
    names = re.findall(r"^-- (?:fail|warn): *(.+)$", text, re.MULTILINE)
    if len(set(names)) != len(names):
        yield f"expected a name of its own for each check, found {names}"
    for body in re.split(r"^-- (?:fail|warn):.*$", text, flags=re.MULTILINE)[1:]:
        yield from select_errors(body)


def value_errors(text: str) -> Iterator[str]:
    """Errors of SQL that runs with parameters: the time must be a parameter, and a lone % is refused."""
    if found := UNSTABLE.search(code_of(text)):
        yield f"expected the same answer on every run, found {found[0]}: make it a parameter"
    if re.search(r"%(?!\(\w+\)s|%)", text.replace("%%", "")):
        yield "expected %(name)s, or %% for a per cent sign, found a lone %"


def errors(table: SqlTable) -> list[str]:
    """Everything that is wrong with the files of one table."""
    found: list[str] = []
    if not any(map(table.text, FILES)):
        found.append(f"{table.name}: expected one of {FILES}")
    found += [
        f"{table.name}: expected only {FILES}, found {p.name}"
        for p in table.folder.iterdir()
        if p.name not in (*FILES, TRACE)
    ]
    for file in filter(table.text, FILES):
        text = table.text(file)
        rules = (
            [header_errors(table, file), source_errors(table, file)] if file != "checks.sql" else [check_errors(text)]
        )
        if file == "table.sql":
            rules.append(ddl_errors(table))
        if file in {"query.sql", "affected_keys.sql"}:
            rules.append(select_errors(text))
        if file == "query.sql":
            rules.append(parameter_errors(table))
        if file != "table.sql":
            rules.append(value_errors(text))
        found += [f"{table.name}/{file}: {error}" for rule in rules for error in rule]
    found += [f"{table.name}/query.sql: {error}" for error in disposition_errors(table)]
    found += [f"{table.name}/{TRACE}: {error}" for error in trace_file_errors(table)]
    found += [f"{table.name}/table.sql: {error}" for error in rebuild_lines(table)]
    return found


TABLES = [
    sql_table(f"{path.parent.name}.{path.name}") for path in sorted(ROOT.glob("*/*/")) if path.name != "migrations"
]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_files_have_no_errors(table: SqlTable) -> None:
    assert errors(table) == []


TABLE = """\
-- grain: one day of orders
-- key: day
-- sources: none
-- write disposition: replace partition (day)
CREATE TABLE IF NOT EXISTS shop.sales (day date NOT NULL, order_count bigint NOT NULL, at timestamptz DEFAULT now());
"""
QUERY = """\
-- grain: one day of orders
-- key: day
-- parameters: day (date, the first, or the last), word (text)
-- sources: shop.orders, shop.customers
-- write disposition: replace partition (day)
-- rules: every order counts (rejected: paid ones only;
--   today's)
WITH sold AS (SELECT orders.day FROM shop.orders INNER JOIN shop.customers ON orders.id = customers.id)

SELECT
    sold.day,
    count(*) AS order_count -- as of now(), 100 %%
FROM sold
WHERE sold.day = %(day)s AND sold.note LIKE %(word)s || '%%'
GROUP BY sold.day
"""
CHECKS = """\
-- fail: no day is without orders
--   which the contract excludes
SELECT sales.day FROM shop.sales WHERE sales.day = %(day)s AND sales.order_count = 0;

-- warn: no day has many
SELECT sales.day FROM shop.sales WHERE sales.order_count > 1000;
"""
TRACED = """\
-- from: shop.orders
SELECT
    orders.tableoid,
    orders.ctid,
    orders AS source_row
FROM shop.orders
WHERE orders.day = %(day)s;
"""
GOOD = {"table.sql": TABLE, "query.sql": QUERY, "checks.sql": CHECKS, TRACE: TRACED}
AFFECTED_KEYS = """\
-- grain: one day of a file
-- sources: shop.orders
SELECT DISTINCT orders.day FROM shop.orders WHERE orders.file_date = %(file)s
"""
MERGED = GOOD | {
    "query.sql": QUERY.replace("replace partition (day)", "merge by (day)").replace("word (text)", "word, file (date)"),
    "affected_keys.sql": AFFECTED_KEYS,
}


def sample(root: Path, files: dict[str, str]) -> SqlTable:
    folder = root / "shop" / "sales"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return sql_table("shop.sales", root)


def test_sound_files_have_no_errors(tmp_path: Path) -> None:
    assert errors(sample(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("table.sql", "-- grain: one day of orders\n", "", "expected ['grain'] in the header"),
        ("table.sql", "-- key: day\n", "-- key:\n", "expected ['key'] in the header"),
        ("table.sql", "-- sources: none\n", "-- source: none\n", "expected ['sources'] in the header"),
        ("table.sql", "-- sources: none\n", "-- source: none\n", "found -- source: none"),
        ("table.sql", "date NOT NULL", "date REFERENCES shop.days", "expected the sources ['shop.days']"),
        ("query.sql", "-- write disposition: replace partition (day)\n", "", "expected ['write disposition']"),
        ("query.sql", "-- parameters: day (date, the first, or the last), word (text)\n", "", "['parameters']"),
        ("query.sql", "-- rules: every", "-- every", "expected ['rules'] in the header"),
        ("query.sql", ", shop.customers\n", "\n", "expected the sources ['shop.customers', 'shop.orders']"),
        ("query.sql", "sources: ", "sources: shop.days, ", "found ['shop.customers', 'shop.days', 'shop.orders']"),
        ("query.sql", ", word (text)", "", "expected the parameters ['day', 'word'] in the header, found ['day']"),
        (
            "query.sql",
            "= %(day)s",
            "= '2021-01-01'",
            "expected the parameters ['word'] in the header, found ['day', 'w",
        ),
        ("query.sql", "'%%'", "'%'", "found a lone %"),
        ("query.sql", "'%%'", "'%%%'", "found a lone %"),
        ("query.sql", "GROUP BY sold.day\n", "GROUP BY sold.day;\nSELECT 1\n", "'select_statement']"),
        (
            "query.sql",
            "WITH sold",
            "INSERT INTO shop.sales WITH sold",
            "expected one SELECT, found ['insert_statement']",
        ),
        ("query.sql", "SELECT orders.day FROM", "DELETE FROM", "found ['delete_statement']"),
        ("query.sql", "SELECT\n    sold.day", "PICK\n    sold.day", "expected one SELECT, found "),
        ("query.sql", "FROM sold\n", "FROM\n", "found ['unparsable']"),
        ("query.sql", "    count(*)", "    count(*) INTO shop.total, count(*)", "expected a SELECT that only reads"),
        ("query.sql", "FROM sold\n", "INTO shop.total FROM sold\n", "found ['into_clause']"),
        ("query.sql", "GROUP BY sold.day\n", "GROUP BY sold.day FOR UPDATE\n", "found ['for_clause']"),
        ("query.sql", "= %(day)s AND", "= %(day)s AND sold.note <> '--' AND now() > sold.at AND", "found now("),
        ("query.sql", "= %(day)s AND", "= %(day)s AND sold.at < now() AND", "found now(: make it a parameter"),
        ("query.sql", "= %(day)s AND", "= %(day)s AND sold.at < clock_timestamp () AND", "found clock_timestamp ("),
        ("query.sql", "= %(day)s AND", "= %(day)s AND sold.day < CURRENT_DATE AND", "found CURRENT_DATE"),
        ("query.sql", "= %(day)s AND", "= %(day)s AND sold.at < current_timestamp AND", "found current_timestamp"),
        ("query.sql", "= %(day)s AND", "= %(day)s AND sold.at < localtimestamp AND", "found localtimestamp"),
        ("query.sql", "= %(day)s AND", "= %(day)s AND sold.day < date 'today' AND", "found date 'today'"),
        ("query.sql", "= %(day)s AND", "= %(day)s AND sold.day < 'yesterday'::date AND", "found 'yesterday'::"),
        ("query.sql", "= %(day)s AND", "= %(day)s AND random() < 1 AND", "found random("),
        ("checks.sql", "sales.order_count = 0", "sales.day > current_date", "found current_date"),
        (TRACE, TRACED, "", "the table reads shop.orders, shop.customers, so the key of a row does not identify"),
        (TRACE, "-- from: shop.orders\n", "", "expected `-- from: schema.table` or `-- computed: reason`"),
        (
            TRACE,
            "orders AS source_row",
            "orders.day",
            "expected SELECT x.tableoid, x.ctid, x AS source_row",
        ),
        (TRACE, "FROM shop.orders", "FROM shop.customers AS orders", "found a SELECT of another table"),
        (TRACE, "= %(day)s", "< now()", "found now("),
        ("checks.sql", "%(day)s", "%(month)s", "expected parameters of the query, ['day', 'word'], found ['month']"),
        ("checks.sql", "> 1000", "% 2 = 0", "found a lone %"),
        ("checks.sql", "-- fail: no day is without orders", "SELECT 1;\n-- fail: orders", "in the first line"),
        ("checks.sql", "-- warn: no", "-- warning: no", "found -- warning: no day has many"),
        ("checks.sql", "-- warn: no", "--warn: no", "found --warn: no day has many"),
        ("checks.sql", "-- warn: no day has many", "-- warn: no day is without orders", "a name of its own"),
        ("checks.sql", "SELECT sales.day FROM shop.sales WHERE sales.order_count > 1000;", "", "expected one SELECT"),
        ("checks.sql", "count > 1000;", "count > 1000; SELECT 1;", "expected one SELECT, found ['select_"),
    ],
)
def test_file_that_breaks_a_rule_is_an_error(file: str, old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in GOOD[file]
    found = errors(sample(tmp_path, GOOD | {file: GOOD[file].replace(old, new, 1)}))
    assert [error for error in found if error.startswith("shop.sales/") and message in error], found


def test_sound_files_of_a_merge_have_no_errors(tmp_path: Path) -> None:
    assert errors(sample(tmp_path, MERGED)) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("affected_keys.sql", AFFECTED_KEYS, "", "merge needs an affected_keys.sql that selects the keys"),
        ("query.sql", "merge by (day)", "append", "append needs no affected_keys.sql"),
        ("query.sql", "merge by (day)", "merge by day", "write disposition is 'merge by day'; expected"),
        ("query.sql", "-- key: day\n", "-- key: \n", "expected a key in the header for `merge`"),
        ("query.sql", ", file (date)", "", "expected the parameters ['day', 'file', 'word'] in the header"),
        ("affected_keys.sql", "-- grain: one day of a file\n", "", "expected ['grain'] in the header"),
        ("affected_keys.sql", "sources: shop.orders\n", "sources: none\n", "expected the sources ['shop.orders']"),
        ("affected_keys.sql", "SELECT DISTINCT", "DELETE FROM shop.orders; SELECT", "expected one SELECT, found"),
        ("affected_keys.sql", "= %(file)s", "= current_date", "found current_date"),
        ("table.sql", TABLE, "", "expected a table.sql and a query.sql beside affected_keys.sql"),
    ],
)
def test_file_that_breaks_a_rule_of_merges_is_an_error(
    file: str, old: str, new: str, message: str, tmp_path: Path
) -> None:
    assert old in MERGED[file]
    found = errors(sample(tmp_path, MERGED | {file: MERGED[file].replace(old, new, 1)}))
    assert [error for error in found if message in error], found


def test_foreign_file_is_an_error(tmp_path: Path) -> None:
    assert errors(sample(tmp_path, GOOD | {"notes.sql": QUERY})) == [
        f"shop.sales: expected only {FILES}, found notes.sql"
    ]


def test_folder_without_sql_is_an_error(tmp_path: Path) -> None:
    assert errors(sample(tmp_path, {})) == [f"shop.sales: expected one of {FILES}"]


@pytest.mark.parametrize(
    ("header", "query", "error"),
    [
        ("from query", "SELECT %(day)s::date AS day", None),
        ("yes", "SELECT %(day)s::date AS day", "expected `rebuild: from query`"),
        ("from query", "SELECT %(day)s::date AS day, %(top)s AS top", "found top"),
    ],
)
def test_table_of_a_rebuild_has_no_parameter_except_its_partition(
    tmp_path: Path, header: str, query: str, error: str | None
) -> None:
    folder = tmp_path / "shop" / "sales"
    folder.mkdir(parents=True)
    disposition = "-- write disposition: replace partition (day)\n"
    ddl = "CREATE TABLE IF NOT EXISTS shop.sales (day date);"
    (folder / "table.sql").write_text(f"{disposition}-- rebuild: {header}\n{ddl}\n")
    (folder / "query.sql").write_text(f"{disposition}{query}\n")
    found = list(rebuild_lines(sql_table("shop.sales", tmp_path)))
    assert not found if error is None else error in found[0]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t BEFORE INSERT ON shop.sales FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE FUNCTION shop.f() RETURNS int LANGUAGE sql AS $$ SELECT 1; SELECT 2 $$",
        "CREATE RULE r AS ON INSERT TO shop.sales DO NOTHING",
        "CREATE POLICY p ON shop.sales",
        "CREATE MATERIALIZED VIEW shop.m AS SELECT 1",
        "CREATE UNLOGGED TABLE shop.u (id int)",
        "CREATE SEQUENCE shop.s",
        "CREATE TYPE shop.t AS ENUM ('a')",
        "CREATE EXTENSION citext",
        "CREATE TEMP TABLE x (a int)",
        "CREATE TABLE shop.sales_1 PARTITION OF shop.sales DEFAULT",
        "CREATE STATISTICS shop.s ON day, order_count FROM shop.sales",
        "GRANT SELECT ON shop.sales TO public",
        "REVOKE SELECT ON shop.sales FROM public",
        "INSERT INTO shop.sales VALUES ('2021-04-01', 1)",
        "UPDATE shop.sales SET order_count = 0",
        "DELETE FROM shop.sales",
        "TRUNCATE shop.sales",
        "DROP TABLE shop.old",
        "ALTER TABLE shop.sales ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE shop.sales OWNER TO somebody",
        "COMMENT ON SCHEMA shop IS 'x'",
        "SET search_path TO shop",
        "SELECT 1",
        "DO $x$ BEGIN NULL; END $x$",
        "COPY shop.sales FROM stdin",
        "WITH x AS (SELECT 1) INSERT INTO shop.sales SELECT * FROM x",
        "COMMIT",
    ],
)
def test_statement_that_the_ddl_step_does_not_compare_is_refused(tmp_path: Path, statement: str) -> None:
    for text in (f"{TABLE}{statement};\n", f"{TABLE}/* x; */ {statement.lower()}", f"{TABLE}-- x\n\t{statement};"):
        with pytest.raises(SqlFileError, match=r"sql/shop/sales/table\.sql: expected only CREATE TABLE, CREATE VIEW"):
            check_ddl(text, "sql/shop/sales/table.sql")
    found = errors(sample(tmp_path, GOOD | {"table.sql": f"{TABLE}{statement};\n"}))
    assert any("expected only CREATE TABLE" in error for error in found)


def test_words_in_literals_and_comments_are_no_statements() -> None:
    text = (
        "-- GRANT; DROP TABLE x;\nCOMMENT ON TABLE shop.sales IS 'it''s; DROP TABLE x; -- GRANT';/* INSERT; */\n"
        "create  unique index \"a;b\" ON shop.sales (day);COMMENT ON VIEW v IS E'\\'; DROP TABLE x';"
        "COMMENT ON TABLE t IS $a$; DROP $b$ ; $a$;;\n;CREATE TABLE t (a int)"
    )
    check_ddl(text, "sql/shop/sales/table.sql")
    assert [statement.split()[0].upper() for statement in statements_of(text, "''")] == [
        "COMMENT",
        "CREATE",
        "COMMENT",
        "COMMENT",
        "CREATE",
    ]
