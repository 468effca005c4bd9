"""The status as text: Markdown for the Prefect UI, and plain text for a terminal."""

import textwrap
from collections.abc import Callable, Iterator, Sequence

from tasks.engine.export.column_charts import column_chart, svg_image
from tasks.engine.quoting import printable, shown
from tasks.engine.status.page import MARKS
from tasks.engine.status.problems import LABELS, utc_text
from tasks.engine.status.summary import Calendar, Summary

Table = Callable[[Sequence[str], Sequence[Sequence[object]]], str]
"""Formats a table from its header and its rows."""

WIDTH = 110
_CELLS = {"loaded": "■", "rejected": "!", "missing": "-", "late": "L", "failed": "✗", "lost": "✗", "running": "…"}
SIGNS = "■ loaded, ! loaded with open rejected rows, - missing, L late, ✗ failed or lost, … running; ² loaded again"
MOST_CHARTS = 12


def status_text(summary: Summary) -> str:
    """The status for a terminal."""
    return printable("\n".join(_lines(summary, _plain_table, is_markdown=False)), 200_000)


def status_markdown(summary: Summary, table: Table) -> str:
    """The status as Markdown.

    Args:
        summary: The summary.
        table: Formats a Markdown table, and escapes its cells.
    """
    return "\n\n".join(_lines(summary, table, is_markdown=True))


def _lines(summary: Summary, table: Table, *, is_markdown: bool) -> Iterator[str]:
    def title(text: str) -> str:
        return f"## {text}" if is_markdown else f"\n{text.upper()}"

    yield f"# {summary.headline}" if is_markdown else summary.headline
    yield f"{summary.subline}. Read {utc_text(summary.facts.moment)}."
    if summary.problems:
        yield title("What needs attention")
        if is_markdown:
            rows = [(LABELS[each.kind], each.subject, each.text, each.next_step) for each in summary.problems]
            yield table(["problem", "where", "what", "next step"], rows)
        else:
            yield from _problems(summary)
    yield title("Datasets")
    yield table(["dataset", "state", "newest", "rows", "open rejected", "last load", "rows/s"], _datasets(summary))
    if calendars := list(summary.calendars):
        yield title("Which periods are loaded")
        yield SIGNS + "."
        for calendar in calendars:
            text = "\n".join(_calendar(calendar))
            yield f"**{calendar.dataset}**\n\n```\n{text}\n```" if is_markdown else f"{calendar.dataset}\n{text}"
    if is_markdown:
        yield from _charts(summary)
    if summary.rejections:
        yield title("Rejected rows that are open")
        yield table(["dataset", "column", "reason", "code", "rows", "lines, for example"], _rejections(summary))
    yield title("Schedules")
    yield from _schedules(summary, table)


def _problems(summary: Summary) -> Iterator[str]:
    for each in summary.problems:
        yield f"{MARKS[each.kind]} {LABELS[each.kind]}: {shown(each.subject)}"
        for text in (each.text, f"Next: {each.next_step}"):
            yield textwrap.fill(text, WIDTH, initial_indent="    ", subsequent_indent="    ")


def _datasets(summary: Summary) -> list[tuple[object, ...]]:
    return [
        (
            each.dataset,
            summary.state_of(each)[1],
            each.newest_partition or "",
            each.row_count,
            each.rows_unresolved,
            utc_text(each.last_success_at),
            round(each.rows_per_second or 0),
        )
        for each in summary.shown_datasets
    ]


def _calendar(calendar: Calendar) -> Iterator[str]:
    places = range(1, 13 if calendar.unit == "month" else 32)
    for label, cells in calendar.rows.items():
        signs = [
            _CELLS[cell.state] + ("²" if cell.is_restated else " ") if (cell := cells.get(place)) else "  "
            for place in places
        ]
        yield f"{label:<9}{''.join(signs)}".rstrip()


def _charts(summary: Summary) -> Iterator[str]:
    volumes = list(summary.volumes)[:MOST_CHARTS]
    if volumes:
        yield "## Rows over time"
    for volume in volumes:
        title = f"Rows per {volume.unit} of {volume.dataset}, {volume.rows[0][0]} to {volume.rows[-1][0]}"
        yield f"{title}\n\n{svg_image(title, column_chart(title, volume.rows, ' rows'))}"
        if any(share for _, share in volume.shares):
            title = f"Rejected share of {volume.dataset} in percent"
            yield f"{title}\n\n{svg_image(title, column_chart(title, volume.shares, ' %'))}"


def _rejections(summary: Summary) -> list[tuple[object, ...]]:
    return [
        (
            each.where,
            each.example.column_name or "whole record",
            shown(each.example.reason, 100),
            each.example.reason_code,
            each.row_count,
            f"{each.example.partition} {', '.join(f'{line:,}' for line in each.example.example_lines)}".strip(),
        )
        for each in summary.rejections
    ]


def _schedules(summary: Summary, table: Table) -> Iterator[str]:
    if summary.facts.schedules is None:
        yield "The Prefect server could not be reached, so the schedules are unknown."
    elif not summary.facts.schedules:
        yield "The Prefect server has no deployment. Deploy the flows with `make deploy`."
    else:
        rows = [
            (
                each.name,
                "paused" if each.is_paused else utc_text(each.next_run) if each.next_run else "on demand",
                f"{each.last_state} {utc_text(each.last_end)}" if each.last_state else "none yet",
            )
            for each in summary.facts.schedules
        ]
        yield table(["deployment", "next run", "last run"], rows)


def _plain_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in columns; numbers are aligned right."""
    texts = [[f"{cell:,}" if isinstance(cell, int) else shown(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *texts, strict=True)]
    numbers = [any(isinstance(row[place], int) for row in rows) for place in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(line, widths, numbers, strict=True)
        ).rstrip()
        for line in [list(header), *texts]
    ]
    return "\n".join(lines)
