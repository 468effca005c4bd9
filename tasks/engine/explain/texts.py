"""Explanations as sections of text and tables, for the terminal and for an artifact."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tasks.engine.explain.explanation import BuildFacts, Explanation
from tasks.engine.explain.objects import ObjectUse
from tasks.engine.explain.origins import Origin, Rejection

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A part of a report: sentences, then a table.

    Attributes:
        title: Title of the part.
        lines: Sentences.
        header: Titles of the table's columns; empty without a table.
        rows: Rows of the table.
    """

    title: str
    lines: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: Rows = ()


def sections_of_row(explanation: Explanation) -> list[Section]:
    """Return the explanation of a row, the answer first."""
    origins = explanation.origins
    key = " ".join(f"{column}={value}" for column, value in explanation.key.items())
    lines = [answer(explanation)]
    if origins.through:
        lines.append(f"Derivation: {' <- '.join([*origins.through, *dict.fromkeys(o.table for o in origins.shown)])}")
    lines += origins.computed
    if any(origin.unnumbered for origin in origins.shown):
        lines.append(
            "Rows without a line number were loaded before the table had this column. Run the pipeline of the"
            " partition with force=true to load them again with line numbers."
        )
    rows: list[tuple[str, ...]]
    sections = [
        Section(f"{explanation.table} {key}".strip(), tuple(lines)),
        Section(
            "Lines that the row derives from",
            (f"The first {len(origins.shown)} of {origins.load_count:,} loads.",)
            if origins.load_count > len(origins.shown)
            else (),
            ("object", "lines", "rows", "load", "loaded at", "status", "version", "flow run"),
            [_origin(origin) for origin in origins.shown],
        ),
    ]
    if explanation.builds:
        lines = [line for build in explanation.builds for line in _warnings(build)]
        rows = [_build(build) for build in explanation.builds]
        sections.append(
            Section("Builds of the table", tuple(lines), ("partition", "built at", "flow run", "SQL"), rows)
        )
    if explanation.exports:
        rows = [
            (each.uri, f"{each.row_count:,}", _time(each.exported_at), each.source_version)
            for each in explanation.exports
        ]
        sections.append(Section("Exports of the table", (), ("object", "rows", "exported at", "version"), rows))
    sections.append(_rejected([(origin.load_id, origin.rejected) for origin in origins.shown]))
    return sections


def answer(explanation: Explanation) -> str:
    """Return the explanation of a row in one sentence."""
    origins = explanation.origins
    if not origins.shown:
        return "Tally knows no loaded line from which the row derives." + (
            "" if origins.computed else " Another owner built the row, or it is older than the records of origins."
        )
    if origins.row_count == 1:
        (one,) = origins.shown
        return f"The row derives from {one.source_uri}, {_lines(one)} (load {one.load_id})."
    rows = f"{origins.row_count:,} rows of {origins.load_count:,} {'load' if origins.load_count == 1 else 'loads'}"
    return f"The row derives from {rows}."


def sections_of_object(use: ObjectUse) -> list[Section]:
    """Return where the rows of an object are, the answer first."""
    where = f"{use.uri}:{use.line}" if use.line else use.uri
    if use.made_from:
        made = [(table, uri or "not recorded", f"{load or ''}") for uri, load, table in use.made_from]
        return [Section(where, ("The object is an export.",), ("table", "made from object", "load"), made)]
    lines = []
    current = [load for load in use.loads if load.status == "loaded"]
    lines.append(
        f"{len(current)} of {len(use.loads)} loads of this object {'is' if len(current) == 1 else 'are'} current."
        if current
        else "No load of this object is current: its rows were replaced."
    )
    if use.line and any(load.unnumbered for load in use.loads):
        lines.append("Rows of an older load have no line number. Run the pipeline of the partition with force=true.")
    header = ("load", "table", "partition", "status", "rows", "rejected", "rows of the line", "loaded at", "version")
    rows = [
        (
            f"{load.load_id}",
            load.table,
            load.partition,
            load.status,
            f"{load.rows_loaded:,}",
            f"{load.rows_rejected:,}",
            "" if load.rows_at_line is None else f"{load.rows_at_line:,}",
            _time(load.loaded_at),
            load.source_version,
        )
        for load in use.loads
    ]
    holders = [(each.table, each.partition or "", _time(each.built_at), each.export_uri or "") for each in use.holders]
    return [
        Section(where, tuple(lines)),
        Section("Loads", (), header, rows),
        Section("Tables and exports", (), ("table", "partition", "built at", "export"), holders),
        _rejected([(load.load_id, load.rejected) for load in use.loads]),
    ]


def _origin(origin: Origin) -> tuple[str, ...]:
    load = f"{origin.load_id}" + (f" (replay of {origin.replay_of})" if origin.replay_of else "")
    return (
        origin.source_uri,
        _lines(origin),
        f"{origin.row_count:,}",
        load,
        _time(origin.loaded_at),
        origin.status,
        origin.source_version,
        origin.flow_run_id or "",
    )


def _lines(origin: Origin) -> str:
    if not origin.lines:
        return "line unknown"
    more = origin.row_count - origin.unnumbered - len(origin.lines)
    numbers = ", ".join(str(line) for line in origin.lines)
    return f"{'line' if origin.row_count == 1 else 'lines'} {numbers}" + (f" and {more:,} more" if more > 0 else "")


def _build(build: BuildFacts) -> tuple[str, ...]:
    files = ", ".join(f"{file} {digest}" for file, digest, _ in build.files)
    return build.partition or "whole table", _time(build.built_at), build.flow_run_id or "", files


def _warnings(build: BuildFacts) -> Iterable[str]:
    for file, _, is_changed in build.files:
        if is_changed:
            yield f"{file} changed after this build. Run the pipeline to build the table again."
    if build.missing_loads:
        loads = ", ".join(str(load) for load in build.missing_loads)
        yield f"The table was built before load {loads}. Run the pipeline to build the table again."


def _rejected(loads: Iterable[tuple[int, tuple[Rejection, ...]]]) -> Section:
    rows = [
        (f"{load_id}", each.column_name or "", each.reason, f"{each.row_count:,}", ", ".join(map(str, each.lines)))
        for load_id, rejected in loads
        for each in rejected
    ]
    header = ("load", "column", "reason", "rows", "lines")
    return Section("Rejected rows of the same loads", () if rows else ("None.",), header if rows else (), rows)


def _time(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC") if moment else ""
