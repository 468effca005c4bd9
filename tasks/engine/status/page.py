"""The status page as self-contained HTML, for phones and desktops, light and dark."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from tasks.engine.export.column_charts import column_chart
from tasks.engine.quoting import shown
from tasks.engine.status.facts import DatasetFacts, Schedule
from tasks.engine.status.problems import LABELS, Problem, utc_text
from tasks.engine.status.summary import Calendar, Cell, RejectionGroup, Summary, Volume

STYLE = Path(__file__).with_name("page.css")
MARKS = {
    "failed": "✗",
    "late": "◷",
    "lost": "✗",
    "incomplete": "…",
    "missing": "-",
    "rejected": "!",
    "running": "…",
    "ok": "✓",
    "loaded": "",
    "empty": "○",
    "removed": "○",
}
"""The sign of each state, so that a state has more than its colour."""

LEGEND = ("loaded", "rejected", "missing", "late", "failed", "lost", "running")
WORDS = {"loaded": "loaded", "rejected": "loaded, with open rejected rows"}


def status_page(summary: Summary) -> str:
    """The page. It refers to nothing outside itself, and contains no rejected row."""
    title = f"Tally: {summary.headline}"
    body = "\n".join(part for part in _sections(summary) if part)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<style>\n{STYLE.read_text(encoding='utf-8')}</style></head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _sections(summary: Summary) -> Iterator[str]:
    kind = _kind_of(summary)
    yield (
        f'<header class="{kind}"><p class="of">Tally, state of all data</p><h1><span class="mark" aria-hidden="true">'
        f"{MARKS[kind]}</span> {escape(summary.headline)}</h1>"
        f"<p>{escape(summary.subline)}. Read {utc_text(summary.facts.moment)}.</p></header>\n<main>"
    )
    if summary.problems:
        yield _section("What needs attention", "".join(map(_problem, summary.problems)), "problems")
    yield _section("Datasets", _datasets(summary))
    if calendars := "".join(map(_calendar, summary.calendars)):
        yield _section("Which periods are loaded", _legend() + calendars)
    if volumes := "".join(map(_volume, summary.volumes)):
        yield _section("Rows over time", f'<div class="charts">{volumes}</div>')
    if summary.rejections:
        yield _section("Rejected rows that are open", _rejections(summary.rejections))
    yield _section("Schedules", _schedules(summary.facts.schedules))
    yield (
        "</main>\n<footer>The same facts in SQL: <code>ledger.dataset_status</code>, <code>partition_status</code>,"
        " <code>load_history</code>, <code>open_rejections</code> and <code>freshness</code>. In the terminal:"
        " <code>make status</code>.</footer>"
    )


def _kind_of(summary: Summary) -> str:
    if summary.problems:
        return summary.problems[0].kind
    return "empty" if summary.is_empty else "ok"


def _section(title: str, content: str, name: str = "") -> str:
    return f'<section class="{name}"><h2>{escape(title)}</h2>{content}</section>'


def _problem(problem: Problem) -> str:
    return (
        f'<article class="{problem.kind}"><h3>{_badge(problem.kind, LABELS[problem.kind])}'
        f" {escape(shown(problem.subject))}</h3><p>{escape(problem.text)}</p>"
        f'<p class="next"><b>Next:</b> {escape(problem.next_step)}</p></article>'
    )


def _badge(kind: str, label: str) -> str:
    return f'<span class="badge {kind}"><span aria-hidden="true">{MARKS[kind]}</span> {escape(label)}</span>'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table of HTML cells. On a phone, each row becomes a card, and each cell shows its header."""
    classes = [' class="number"' if place in numbers else "" for place in range(len(header))]
    head = "".join(f'<th scope="col"{name}>{escape(text)}</th>' for text, name in zip(header, classes, strict=True))
    body = "".join(
        "<tr>"
        + "".join(
            f'<td{_class_of(place in numbers, cell)} data-label="{escape(label)}">{cell}</td>'
            for place, (label, cell) in enumerate(zip(header, row, strict=True))
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _class_of(is_number: bool, cell: str) -> str:
    """The class of a cell. A phone hides a cell with nothing."""
    names = [name for name, is_set in (("number", is_number), ("nothing", cell in ("-", "0", "never"))) if is_set]
    return f' class="{" ".join(names)}"' if names else ""


def _datasets(summary: Summary) -> str:
    header = ["Dataset", "State", "Newest period", "Rows", "Rejected", "Last load", "Speed"]
    rows = [
        [
            f"<b>{escape(shown(each.dataset))}</b>",
            _badge(*summary.state_of(each)),
            escape(each.newest_partition or "") or "-",
            f"{each.row_count:,}",
            _rejected(each),
            utc_text(each.last_success_at),
            f"{each.rows_per_second:,.0f} rows/s" if each.rows_per_second else "-",
        ]
        for each in summary.shown_datasets
    ]
    return _table(header, rows, (3, 4, 6))


def _rejected(each: DatasetFacts) -> str:
    if not each.rows_rejected:
        return "0"
    share = 100 * each.rows_rejected / max(each.row_count + each.rows_unresolved, 1)
    return f"{each.rows_rejected:,} ({share:.2g} %)"


def _legend() -> str:
    items = "".join(f"<li>{_mark(state)} {WORDS.get(state, state)}</li>" for state in LEGEND)
    return f'<ul class="legend">{items}<li><i class="loaded restated"></i> underlined: loaded again</li></ul>'


def _mark(state: str) -> str:
    return f'<i class="{state}" aria-hidden="true">{MARKS[state]}</i>'


def _calendar(calendar: Calendar) -> str:
    places = range(1, 13 if calendar.unit == "month" else 32)
    head = "".join(f"<th>{place}</th>" for place in places)
    rows = "".join(
        f'<tr><th scope="row">{escape(label)}</th>' + "".join(_cell(cells.get(place)) for place in places) + "</tr>"
        for label, cells in calendar.rows.items()
    )
    note = f"<p>{calendar.left_out:,} earlier {calendar.unit}s are not shown.</p>" if calendar.left_out else ""
    return (
        f'<h3>{escape(shown(calendar.dataset))}</h3><table class="calendar {calendar.unit}"><thead><tr><td></td>{head}'
        f"</tr></thead><tbody>{rows}</tbody></table>{note}"
    )


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "<td></td>"
    name = f"{cell.state} restated" if cell.is_restated else cell.state
    text = escape(cell.text)
    return f'<td><i class="{name}" role="img" title="{text}" aria-label="{text}">{MARKS[cell.state]}</i></td>'


def _volume(volume: Volume) -> str:
    (first, _), (last, newest) = volume.rows[0], volume.rows[-1]
    worst = max(share for _, share in volume.shares)
    charts = column_chart(f"Rows per {volume.unit} of {volume.dataset}", volume.rows, " rows")
    share = "<p>No row was rejected.</p>"
    if worst:
        share = (
            '<div class="share">'
            + column_chart(f"Rejected share of {volume.dataset}", volume.shares, " %")
            + f"</div><p>Rejected share, at most {worst:.3g} %</p>"
        )
    return (
        f"<figure><h3>{escape(shown(volume.dataset))}</h3>{charts}<figcaption><p>Rows per {volume.unit},"
        f" {escape(first)} to {escape(last)}. Newest: {newest:,.0f}</p>{share}</figcaption></figure>"
    )


def _rejections(rejections: Sequence[RejectionGroup]) -> str:
    header = ["Dataset", "Column", "Reason", "Rows", "Where, for example"]
    rows = [
        [
            f"<b>{escape(shown(each.where, 200))}</b>",
            escape(shown(each.example.column_name)) if each.example.column_name else "whole record",
            f"{escape(shown(each.example.reason, 200))} <code>{escape(each.example.reason_code)}</code>",
            f"{each.row_count:,}",
            f"{escape(shown(each.example.example_uri, 200))}, line"
            f" {', '.join(f'{line:,}' for line in each.example.example_lines)}",
        ]
        for each in rejections
    ]
    return _table(header, rows, (3,)) + "<p>The rows themselves are in <code>ledger.open_rejections</code>.</p>"


def _schedules(schedules: Sequence[Schedule] | None) -> str:
    if schedules is None:
        return "<p>The Prefect server could not be reached, so the schedules are unknown.</p>"
    if not schedules:
        return "<p>The Prefect server has no deployment. Deploy the flows with <code>make deploy</code>.</p>"
    rows = [
        [
            f"<b>{escape(shown(each.name))}</b>",
            "paused" if each.is_paused else utc_text(each.next_run) if each.next_run else "on demand",
            f"{_badge('failed' if each.is_failed else 'ok', each.last_state)} {utc_text(each.last_end)}"
            if each.last_state
            else "none yet",
        ]
        for each in schedules
    ]
    return _table(["Deployment", "Next run", "Last run"], rows)
