"""The summary of the facts that all three outputs print: headline, rows of datasets, charts and calendars."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from tasks.engine.status.facts import DatasetFacts, DueFacts, Facts, PartitionFacts, RejectionFacts
from tasks.engine.status.problems import KINDS, LABELS, Problem, problems_of

SHOWN_MONTHS, SHOWN_DAYS, SHOWN_LATE = 60, 366, 12
"""Number of months or days in a calendar, and of late partitions after the last known one."""

CHARTED = 60
"""Number of partitions in a chart."""


@dataclass(frozen=True)
class Cell:
    """One partition in a calendar: its name, its state or `late`, and what it holds in words."""

    name: str
    state: str
    text: str
    is_restated: bool = False


@dataclass(frozen=True)
class Calendar:
    """The partitions of a dataset by year, or by month if they are days.

    Attributes:
        rows: Cells of each row by its label. A cell's place in its row is its month or day, from 1.
        left_out: Number of earlier partitions that are not shown.
    """

    dataset: str
    unit: str
    rows: dict[str, dict[int, Cell]]
    left_out: int


@dataclass(frozen=True)
class Volume:
    """The rows of a dataset over time, and their rejected share in percent."""

    dataset: str
    unit: str
    rows: Sequence[tuple[str, float]]
    shares: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class RejectionGroup:
    """Open rejected rows of a dataset with one reason, in all its partitions.

    Attributes:
        example: The newest partition of the group, with the numbers of some lines.
        partitions: Names of the partitions, the newest last.
    """

    example: RejectionFacts
    partitions: Sequence[str]
    row_count: int

    @property
    def where(self) -> str:
        """The dataset with its partitions."""
        name, count = self.example.dataset, len(self.partitions)
        if count < 2:
            return f"{name} {self.partitions[0]}".strip()
        return f"{name}, {count:,} partitions, {self.partitions[0]} to {self.partitions[-1]}"


@dataclass(frozen=True)
class Summary:
    """What the page says.

    Attributes:
        facts: The facts.
    """

    facts: Facts

    @cached_property
    def problems(self) -> list[Problem]:
        """What needs attention, the most urgent first."""
        return problems_of(self.facts)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever loaded or tried."""
        return not self.facts.partitions

    @property
    def headline(self) -> str:
        """The answer in one line."""
        if self.problems:
            count = len(self.problems)
            return f"{count:,} problem{'s need' if count > 1 else ' needs'} attention"
        return "Nothing is loaded yet" if self.is_empty else "Everything is in order"

    @property
    def subline(self) -> str:
        """Datasets and rows in one line."""
        loaded = [each for each in self.facts.datasets if each.partitions_loaded]
        active = sum(each.is_active for each in self.facts.datasets)
        rows = sum(each.row_count for each in loaded)
        return f"{len(loaded):,} of {active:,} datasets hold data, {rows:,} rows in total"

    def state_of(self, dataset: DatasetFacts) -> tuple[str, str]:
        """Kind and label of a dataset's state: its most urgent problem, or `ok`, `running`, `empty` or `removed`."""
        if not dataset.is_active:
            return "removed", "Removed"
        kinds = {each.kind for each in self.problems if each.dataset == dataset.dataset}
        for kind in KINDS:
            if kind in kinds:
                return kind, LABELS[kind]
        if dataset.partitions_running:
            return "running", "Loading"
        return ("ok", "In order") if dataset.partitions_loaded else ("empty", "No data yet")

    @property
    def shown_datasets(self) -> list[DatasetFacts]:
        """The datasets, those with problems first."""
        order = [*KINDS, "running", "ok", "empty", "removed"]
        return sorted(self.facts.datasets, key=lambda each: order.index(self.state_of(each)[0]))

    @property
    def rejections(self) -> list[RejectionGroup]:
        """The open rejected rows by dataset, column and reason, the most frequent first."""
        groups: dict[tuple[str, str | None, str, str], list[RejectionFacts]] = {}
        for each in self.facts.rejections:
            groups.setdefault((each.dataset, each.column_name, each.reason_code, each.reason), []).append(each)
        found = []
        for group in groups.values():
            group.sort(key=lambda each: each.partition)
            rows = sum(each.row_count for each in group)
            found.append(RejectionGroup(group[-1], [each.partition for each in group], rows))
        return sorted(found, key=lambda each: -each.row_count)

    @property
    def calendars(self) -> Iterator[Calendar]:
        """A calendar for each dataset with partitions."""
        units = {each.dataset: each.partition_unit for each in self.facts.datasets if each.is_active}
        late: dict[str, list[DueFacts]] = {}
        for due in self.facts.due:
            if due.is_late and due.loaded_at is None:
                late.setdefault(due.dataset, []).append(due)
        for name, group in groupby(self.facts.partitions, key=lambda each: each.dataset):
            partitions = [each for each in group if each.partition]
            if partitions and (unit := units.get(name)):
                yield _calendar(name, unit, partitions, late.get(name, []))

    @property
    def volumes(self) -> Iterator[Volume]:
        """The volumes of each dataset with at least two loads."""
        units = {each.dataset: each.partition_unit or "load" for each in self.facts.datasets if each.is_active}
        points: dict[str, list[tuple[str, int, int]]] = {}
        for each in self.facts.partitions:
            if each.partition:
                points.setdefault(each.dataset, []).append((each.partition, each.rows_read, each.rows_rejected))
        for load in self.facts.recent:
            label = f"{load.started_at:%Y-%m-%d %H:%M}"
            points.setdefault(load.dataset, []).append((label, load.rows_read, load.rows_rejected))
        for name, unit in units.items():
            shown = points.get(name, [])[-CHARTED:]
            if len(shown) > 1:
                shares = [(label, round(100 * rejected / rows, 4) if rows else 0.0) for label, rows, rejected in shown]
                yield Volume(name, unit, [(label, rows) for label, rows, _ in shown], shares)


def _calendar(name: str, unit: str, partitions: Sequence[PartitionFacts], late: Sequence[DueFacts]) -> Calendar:
    shown = partitions[-(SHOWN_MONTHS if unit == "month" else SHOWN_DAYS) :]
    cells = [_cell(each) for each in shown]
    last = cells[-1].name
    cells += [
        Cell(each.partition, "late", f"{each.partition}: late, expected by {each.expected_by:%Y-%m-%d %H:%M} UTC")
        for each in late
        if each.partition > last
    ][:SHOWN_LATE]
    rows: dict[str, dict[int, Cell]] = {}
    for cell in cells:
        label, _, place = cell.name.rpartition("-")
        rows.setdefault(label, {})[int(place)] = cell
    return Calendar(name, unit, rows, len(partitions) - len(shown))


def _cell(each: PartitionFacts) -> Cell:
    words = [f"{each.partition}: {each.state}"]
    words += [f"{each.rows_read:,} rows"] if each.rows_read else []
    words += [f"{each.rows_unresolved:,} rejected rows are open"] if each.rows_unresolved else []
    words += [f"replaced {each.restatement_count:,} times"] if each.restatement_count else []
    return Cell(each.partition, each.state, ", ".join(words), each.restatement_count > 0)
