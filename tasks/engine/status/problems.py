"""What needs attention: problems of datasets and deployments, the most urgent first, each with its next step."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Literal

from tasks.engine import errors
from tasks.engine.quoting import shown
from tasks.engine.status.facts import DatasetFacts, DueFacts, Facts, PartitionFacts

Kind = Literal["failed", "late", "lost", "incomplete", "missing", "rejected"]
KINDS: Sequence[Kind] = ("failed", "late", "lost", "incomplete", "missing", "rejected")
"""The kinds of problems, the most urgent first."""

LABELS: dict[Kind, str] = {
    "failed": "Failed",
    "late": "Late",
    "lost": "Lost",
    "incomplete": "Incomplete",
    "missing": "Missing",
    "rejected": "Rejected rows",
}
MOST_OF_A_KIND = 5
"""Number of failed partitions of one dataset that are shown one by one."""

REASON_LIMIT = 300
BUILD_GRACE = timedelta(minutes=30)
"""Time that a run has, after its load, to build and export its tables."""

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|=\([^)]*\)|\S+@\S+")


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        kind: Kind of the problem.
        subject: The dataset with its partition, or the deployment.
        text: What is wrong, in one sentence.
        next_step: What to do.
        dataset: The dataset; empty for a deployment.
    """

    kind: Kind
    subject: str
    text: str
    next_step: str
    dataset: str = ""


def problems_of(facts: Facts) -> list[Problem]:
    """Everything that needs attention, the most urgent first. Datasets without a contract have no problems."""
    active = {each.dataset: each for each in facts.datasets if each.is_active}
    found: list[Problem] = []
    for name, group in groupby(facts.partitions, key=lambda each: each.dataset):
        if name in active:
            found += _of_partitions(active[name], list(group))
    for name, late in groupby(facts.due, key=lambda each: each.dataset):
        if name in active and (problem := _of_deadlines(active[name], list(late), facts.moment)):
            found.append(problem)
    found += _of_deployments(facts)
    found += [_of_rejections(each) for each in active.values() if each.rows_unresolved]
    return sorted(found, key=lambda each: KINDS.index(each.kind))


def _of_partitions(dataset: DatasetFacts, partitions: Sequence[PartitionFacts]) -> Iterator[Problem]:
    name = dataset.dataset
    failed = [each for each in partitions if each.state == "failed"]
    for each in failed[-MOST_OF_A_KIND:]:
        yield Problem(
            "failed",
            f"{name} {each.partition}".strip(),
            f"{utc_text(each.failed_at)}: {reason_of(each)}"
            + (" The rows of the earlier load remain in the table." if each.rows_read else ""),
            "Correct the file or its cause, and run the pipeline again. ledger.load_attempts has the whole message:"
            f" attempt {each.failed_attempt_id}",
            name,
        )
    if len(failed) > MOST_OF_A_KIND:
        more = [each.partition for each in failed[:-MOST_OF_A_KIND]]
        yield Problem(
            "failed",
            name,
            f"{len(more):,} more partitions failed: {_spans(more)}.",
            "See ledger.partition_status",
            name,
        )
    if lost := [each.partition for each in partitions if each.state == "lost"]:
        where = f" of {_spans(lost)}" if lost != [""] else ""
        text = f"The rows{where} are gone, because somebody dropped the table outside Tally."
        yield Problem("lost", name, text, "Run the pipeline again: it loads the files again", name)
    if missing := [each.partition for each in partitions if each.state == "missing" and each.partition]:
        unit = f"{len(missing):,} {dataset.partition_unit}{'s' if len(missing) > 1 else ''}"
        verb = "are" if len(missing) > 1 else "is"
        yield Problem(
            "missing",
            name,
            f"{unit} between the first and the last one {verb} not loaded: {_spans(missing)}.",
            "Run backfill for these partitions, or ask the supplier for the files",
            name,
        )


def _of_deadlines(dataset: DatasetFacts, due: Sequence[DueFacts], moment: datetime) -> Problem | None:
    """Compare the newest due partition with its deadline. A dataset without any load has no data yet."""
    newest = next((each for each in due if each.is_newest_due), None)
    if newest is None or not dataset.partitions_loaded:
        return None
    subject = f"{dataset.dataset} {newest.partition}".strip()
    if newest.is_late and newest.loaded_at is None:
        waiting = sum(each.loaded_at is None and each.partition > (dataset.newest_partition or "") for each in due)
        more = f" {waiting:,} {dataset.partition_unit}s after it are due." if waiting > 1 else ""
        text = f"It was expected by {utc_text(newest.expected_by)} ({ago(moment - newest.expected_by)} ago)."
        text += f" The newest loaded {dataset.partition_unit} is {dataset.newest_partition}.{more}"
        step = "Ask the supplier for the file; the next catch-up loads it"
        return Problem("late", subject, text, step, dataset.dataset)
    if newest.is_late and not newest.partition:
        expected, loaded = utc_text(newest.expected_by), utc_text(newest.loaded_at)
        text = f"A new file was expected by {expected}. The last load was {loaded}."
        step = "Run the pipeline. If it loads nothing, ask the supplier whether a file is missing or did not change"
        return Problem("late", subject, text, step, dataset.dataset)
    is_complete = newest.finished_at and newest.loaded_at and newest.finished_at >= newest.loaded_at
    if newest.partition and newest.loaded_at and not is_complete and moment - newest.loaded_at > BUILD_GRACE:
        text = f"It was loaded {utc_text(newest.loaded_at)}, but no run has completed its tables and exports since."
        return Problem("incomplete", subject, text, "Look at the last failed run, and run it again", dataset.dataset)
    return None


def _of_deployments(facts: Facts) -> Iterator[Problem]:
    for each in facts.schedules or ():
        if each.is_failed:
            text = f"The last run ended as {each.last_state} {utc_text(each.last_end)}."
            if reason := _without_values(each.last_message):
                text += f" {reason}."
            step = "Correct the cause, and run the flow again. The run in the Prefect UI has the whole message"
            yield Problem("failed", each.name, text, step)


def _of_rejections(dataset: DatasetFacts) -> Problem:
    text = f"{dataset.rows_unresolved:,} rejected row{'s are' if dataset.rows_unresolved > 1 else ' is'} open."
    return Problem(
        "rejected",
        dataset.dataset,
        text,
        "Ask the supplier for a corrected file, or correct the contract and run replay-rejected",
        dataset.dataset,
    )


def reason_of(partition: PartitionFacts) -> str:
    """Why the last attempt failed, without the values that its message quotes."""
    error = getattr(errors, partition.error_class or "", None)
    meaning = (error.__doc__ or "").partition("\n")[0].partition(". ")[0].rstrip(".") + ". " if error else ""
    return f"{meaning}{_without_values((partition.error_message or '').partition('; nothing was loaded')[0])}."


def _without_values(message: str) -> str:
    """The first line of a message, without the values that it quotes and without a full stop."""
    first = message.partition("\n")[0]
    text = _QUOTED.sub(lambda found: "=(…)" if found[0].startswith("=") else "…", first)
    return shown(text, REASON_LIMIT).rstrip(":. ")


def utc_text(moment: datetime | None) -> str:
    """A time in UTC for people, such as `26 Nov 2026 18:40 UTC`."""
    return f"{moment:%-d %b %Y %H:%M} UTC" if moment else "never"


def ago(span: timedelta) -> str:
    """A length of time for people, in its largest unit."""
    minutes = int(span.total_seconds() // 60)
    for unit, size in (("day", 24 * 60), ("hour", 60), ("minute", 1)):
        if minutes >= size:
            count = minutes // size
            return f"{count:,} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"


def _spans(names: Sequence[str], most: int = 12) -> str:
    listed = ", ".join(names[:most])
    return listed + (f" and {len(names) - most:,} more" if len(names) > most else "")
