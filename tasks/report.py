"""Publish reports as Prefect artifacts: tables and charts that the UI shows."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from prefect.logging import get_run_logger
from psycopg import sql
from psycopg.rows import dict_row

from tasks.connections import open_warehouse
from tasks.engine.build.checks import run_checks
from tasks.engine.build.dispositions import read_query
from tasks.engine.build.sql_files import SqlTable, tables_of
from tasks.engine.export.markdown_tables import markdown_table
from tasks.engine.load.rejections import Rejection, count_rejections
from tasks.engine.quoting import quoted, shown
from tasks.engine.receipts import BuildReceipt, ExportReceipt, LoadReceipt, Profile, TopValues
from tasks.engine.warehouse.tables import Connection, table_name
from tasks.export import write_page
from tasks.policy import step
from tasks.prefect_texts import publish_markdown, publish_table
from tasks.transform import Parameters


@dataclass(frozen=True)
class Chart:
    """A bar chart of some columns of a one-row table.

    Attributes:
        title: Title of the chart.
        columns: Pattern of the columns' names; its group is the label of a bar.
    """

    title: str
    columns: str


def _bar_chart(title: str, values: Sequence[tuple[str, float]]) -> str:
    from tasks.engine.export.charts import bar_chart  # noqa: PLC0415 - slow to import

    return bar_chart(title, values)


def publish_answers(key: str, title: str, preamble: str, answers: Mapping[str, TopValues], *, counted: str) -> None:
    """Publish one table artifact for each answer, and one Markdown artifact with all answers and their charts.

    Args:
        key: Key of the artifacts.
        title: Title of the report.
        preamble: Markdown to add to the answers.
        answers: The most frequent values and their counts, by question.
        counted: Noun of the counts, in the plural and in lower case, such as events.
    """
    parts = [f"# {title}"]
    for question, values in answers.items():
        parts += [f"## Top {question}", markdown_table([question, counted], values)]
        if values:
            parts.append(_bar_chart(f"{counted.capitalize()} by {question}", values))
        publish_table(
            [{question: value, counted: count} for value, count in values],
            key=f"{key}-top-{question}",
            description=f"{title}: top {question}",
        )
    publish_markdown("\n\n".join([*parts, *([preamble] if preamble else [])]), key=key, description=title)
    get_run_logger().info("Published report %s with %s", key, ", ".join(f"top {question}" for question in answers))


def load_table(loads: Sequence[LoadReceipt]) -> str:
    """A table of the rows read, loaded and rejected, by object."""
    rows = [(x.source_uri, x.status, x.rows_read, x.rows_loaded, x.rows_rejected) for x in loads]
    return markdown_table(["object", "status", "read", "loaded", "rejected"], rows)


def rejection_table(rejections: Sequence[Rejection]) -> str:
    """Rejected rows by reason, with examples."""
    rows = [(x.reason, x.row_count, x.open_count, "; ".join(map(_example, x.examples))) for x in rejections]
    table = markdown_table(["reason of rejection", "rows", "not replayed", "examples"], rows)
    return f"{table}\n\n`ledger.rejected_rows` holds every rejected row by load and line."


def _example(example: tuple[int, int, bytes | None]) -> str:
    load_id, line, raw = example
    return f"load {load_id}, line {line:,}{'' if raw is None else f': {quoted(raw)}'}"


def rejections_of(connection: Connection, loads: Sequence[LoadReceipt]) -> list[Rejection]:
    """Rejected rows of some loads by reason."""
    return count_rejections(connection, [load.load_id for load in loads])


def account_of(
    loads: Sequence[LoadReceipt], rejections: Sequence[Rejection], exports: Sequence[ExportReceipt]
) -> Iterator[str]:
    """Tables of the loads, the rejected rows and the exports, as Markdown."""
    if loads:
        yield load_table(loads)
    if rejections:
        yield rejection_table(rejections)
    if exports:
        yield markdown_table(
            ["export", "status", "rows", "bytes"], [(x.uri, x.status, x.row_count, x.size_bytes) for x in exports]
        )


@step(task_run_name="Report {title}")
def report_builds(
    key: str,
    title: str,
    loads: Sequence[LoadReceipt],
    builds: Sequence[BuildReceipt],
    exports: Sequence[ExportReceipt] = (),
) -> None:
    """Publish the loads, rejected rows, builds, exports and warnings of a run.

    Args:
        key: Key of the artifact.
        title: Title of the report.
        loads: Loads of the run.
        builds: Builds of the run.
        exports: Exported files of the run.
    """
    with open_warehouse() as connection:
        account = list(account_of(loads, rejections_of(connection, loads), exports))
    parts = [f"# {title}"]
    if warnings := [warning for build in builds for warning in build.warnings]:
        rows = [(x.table, x.name, x.broken_count, "; ".join(x.examples)) for x in warnings]
        parts.append(markdown_table(["table", "check failed", "rows", "for example"], rows))
    parts.append(
        markdown_table(["table", "status", "rows written"], [(x.table, x.status, x.row_count) for x in builds])
    )
    parts += account
    if unknown := sorted({f"`{shown(name)}`" for load in loads for name in load.unknown_columns}):
        parts.append(f"Unknown columns: {', '.join(unknown)}.")
    publish_markdown("\n\n".join(parts), key=key, description=title)


@step(task_run_name="Report {title}")
def report_answers(
    schema: str,
    key: str,
    title: str,
    parameters: Parameters,
    loads: Sequence[LoadReceipt] = (),
    exports: Sequence[ExportReceipt] = (),
    *,
    counted: str,
) -> dict[str, TopValues]:
    """Run every query of a schema and publish the answers.

    Args:
        schema: Schema under `sql/`; each of its queries returns a value and a count.
        key: Key of the artifacts.
        title: Title of the report.
        parameters: Parameters of the queries.
        loads: Loads to list in the report.
        exports: Exported files to list in the report.
        counted: Noun of the counts, in the plural and in lower case, such as events.
    """
    with open_warehouse() as connection:
        answers = {
            table.name.split(".top_")[1]: [
                (str(value), int(count)) for value, count in read_query(connection, table, parameters)
            ]
            for table in tables_of(schema)
        }
        rejections = rejections_of(connection, loads)
    publish_answers(key, title, "\n\n".join(account_of(loads, rejections, exports)), answers, counted=counted)
    return answers


@step(task_run_name="Report {title}")
def report_profile(key: str, title: str, profile: Profile, *, counted: str) -> None:
    """Publish the profile of an object."""
    preamble = f"{profile.rows_read:,} rows read. A load would reject {profile.rows_rejected:,} of them."
    publish_answers(key, title, preamble, profile.answers, counted=counted)


def figures_of(connection: Connection, table: SqlTable, as_of: date, chart: Chart | None) -> Iterator[str]:
    """The row of a table as Markdown: a chart, a table of the other columns, and the warnings of the checks."""
    key = str(table.replaced_column)
    query = sql.SQL("SELECT * FROM {} WHERE {} = %s").format(table_name(table.name), sql.Identifier(key))
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(query, [as_of]).fetchone() or {}
    comments = connection.execute(
        "SELECT attname, col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = to_regclass(%s)"
        " UNION ALL SELECT '', obj_description(to_regclass(%s), 'pg_class')",
        [table.name, table.name],
    )
    meanings = {str(name or ""): str(comment or name or table.name) for name, comment in comments}
    drawn = {name: found[1] for name in row if chart and (found := re.fullmatch(chart.columns, name))}
    # A comment begins with the heading of the column; its explanation follows a colon or a semicolon.
    headings = {name: [*re.split("[:;] ", comment, maxsplit=1), ""][:2] for name, comment in meanings.items()}
    listed = [(headings[name][0], _shown(row[name]), headings[name][1]) for name in row if name not in (key, *drawn)]
    values = [(label, row[name]) for name, label in drawn.items() if row[name] is not None]
    yield f"## {meanings['']}"
    if listed:
        yield markdown_table(["figure", "value", "meaning"], listed)
    if chart and values:
        yield _bar_chart(chart.title, values)
    for broken in run_checks(connection, table, {key: as_of}):
        yield f"**Warning:** check failed: {broken.name}: {broken.broken_count:,} rows."


def _shown(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.1f}" if isinstance(value, float) else "none" if value is None else value


@step(task_run_name="Report {title}")
def report_figures(
    schema: str,
    key: str,
    title: str,
    as_of: date,
    charts: Mapping[str, Chart],
    loads: Sequence[LoadReceipt] = (),
    exports: Sequence[ExportReceipt] = (),
    *,
    export_id: str | None = None,
) -> list[ExportReceipt]:
    """Publish the rows of one as-of date, as an artifact and as an HTML page beside the exports.

    The page shows only the figures, so the same figures always give the same bytes.

    Args:
        schema: Schema of the tables, which have one row for each as-of date.
        key: Key of the artifact.
        title: Title of the report.
        as_of: As-of date of the rows.
        charts: Charts, by the tables' names.
        loads: Loads to list in the artifact.
        exports: Exported files to list in the artifact.
        export_id: Folder of the page, in place of `EXPORT_ID`.
    """
    with open_warehouse() as connection:
        parts = [f"# {title}"]
        for table in tables_of(schema):
            parts += figures_of(connection, table, as_of, charts.get(table.name.split(".")[1]))
        rejections = rejections_of(connection, loads)
    from tasks.engine.export.pages import html_page  # noqa: PLC0415 - slow to import

    page = write_page(schema, html_page(title, "\n\n".join(parts)), as_of, export_id)
    text = "\n\n".join([*parts, "## Loads and exports", *account_of(loads, rejections, [*exports, *page])])
    publish_markdown(text, key=key, description=title)
    return page
