"""Report answers as Prefect artifacts: tables, and charts that the UI shows."""

import base64
from collections.abc import Mapping, Sequence

import pygal
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.logging import get_run_logger
from pygal.style import Style

from tasks.connections import open_warehouse
from tasks.engine.profiler import Profile, TopValues
from tasks.engine.receipts import ExportReceipt, LoadReceipt
from tasks.engine.sql_files import read_query, tables_of
from tasks.policy import step
from tasks.transform import Parameters

# An opaque ground: the UI has a dark and a light theme, and the picture must be read on both.
_STYLE = Style(
    background="#ffffff",
    plot_background="#ffffff",
    foreground="#444444",
    foreground_strong="#111111",
    foreground_subtle="#dddddd",
    colors=("#7da7f7",),
    opacity="1",
    font_family="sans-serif",
    title_font_size=18,
    label_font_size=13,
    major_label_font_size=13,
    value_font_size=13,
)


def bar_chart(title: str, values: TopValues) -> str:
    """A horizontal bar chart as a Markdown image, the greatest bar on top."""
    chart = pygal.HorizontalBar(
        title=title,
        style=_STYLE,
        width=900,
        height=100 + 34 * len(values),
        show_legend=False,
        print_values=True,
        show_x_labels=False,
        show_x_guides=False,
        show_y_guides=False,
        js=[],
    )
    chart.value_formatter = "{:,}".format
    chart.x_labels = [value for value, _ in reversed(values)]
    chart.add("", [count for _, count in reversed(values)])
    image = base64.b64encode(chart.render()).decode()
    # The UI strips inline SVG from Markdown, a data URI it shows.
    return f"![{title}](data:image/svg+xml;base64,{image})"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; numbers get thousands separators."""
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    lines += [f"| {' | '.join(_cell(value) for value in row)} |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|").replace("\n", " ")


def publish_answers(key: str, title: str, preamble: str, answers: Mapping[str, TopValues]) -> None:
    """Publish answers: one table artifact each, and one Markdown artifact with everything and a chart of each."""
    parts = [f"# {title}", preamble]
    for question, values in answers.items():
        parts += [f"## Top {question}", markdown_table([question, "events"], values)]
        if values:
            parts.append(bar_chart(f"Events by {question}", values))
        create_table_artifact(
            [{question: value, "events": count} for value, count in values],
            key=f"{key}-top-{question}",
            description=f"{title}: top {question}",
        )
    create_markdown_artifact("\n\n".join(parts), key=key, description=title)
    get_run_logger().info("Published report %r with %s", key, ", ".join(f"top {question}" for question in answers))


def load_table(loads: Sequence[LoadReceipt]) -> str:
    """What was read, loaded and rejected, by object, and the reasons of rejections."""
    rows = [(x.source_uri, x.status, x.rows_read, x.rows_loaded, x.rows_rejected) for x in loads]
    table = markdown_table(["object", "status", "read", "loaded", "rejected"], rows)
    reasons = [(reason, count) for load in loads for reason, count in load.reasons]
    return table + ("\n\n" + markdown_table(["rejected because", "rows"], reasons) if reasons else "")


@step(task_run_name="report_answers {key}")
def report_answers(
    schema: str,
    key: str,
    title: str,
    parameters: Parameters,
    loads: Sequence[LoadReceipt] = (),
    exports: Sequence[ExportReceipt] = (),
) -> dict[str, TopValues]:
    """Ask every query of a schema and publish the answers.

    Args:
        schema: Under `sql/`; its queries answer with a value and a count.
        key: Of the artifacts.
        title: Of the report.
        parameters: Of the queries.
        loads: Loads to account for in the report.
        exports: Files to name in the report.
    """
    with open_warehouse() as connection:
        answers = {
            table.name.split(".top_")[1]: [
                (str(value), int(count)) for value, count in read_query(connection, table, parameters)
            ]
            for table in tables_of(schema)
        }
    preamble = load_table(loads) if loads else ""
    if exports:
        preamble += "\n\n" + markdown_table(
            ["export", "status", "rows", "bytes"], [(x.uri, x.status, x.row_count, x.size_bytes) for x in exports]
        )
    publish_answers(key, title, preamble, answers)
    return answers


@step(task_run_name="report_profile {title}")
def report_profile(key: str, title: str, profile: Profile) -> None:
    """Publish what an object holds."""
    preamble = f"{profile.rows_read:,} rows, of which a load would reject {profile.rows_rejected:,}."
    publish_answers(key, title, preamble, profile.answers)
