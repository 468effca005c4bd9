"""A made-up pipeline whose objects, contracts and keys change, and an oracle that computes every table from them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.contracts import Column, Contract, Partition
from tasks.contracts.keys import KeyTemplate, partition_name, partition_value
from tasks.contracts.types import BIGINT, INTEGER, TEXT

SQL = Path(__file__).parent / "facts_sql"
SCHEMAS = ("core", "marts", "latest", "history")
"""The schemas of the pipeline, in the order of its builds."""

HEADER = b"code,amount,note\n"
KEYS = tuple(f"in/2021-{days}/{part}.csv" for part in "xy" for days in ("01-02", "02-03", "03-01", "01-01"))
TEMPLATES = ("in/{year:04d}-{month:02d}-*/*.csv", "in/{year:04d}-*-{month:02d}/*.csv")
NAMES = ("names-1.csv", "names-2.csv")
ALLOWED = 1
"""The error budget of an object."""

Record = tuple[str, str, str]
Row = tuple[Any, ...]


def shout(text: str | None) -> str | None:
    return text and text.upper()


@dataclass(frozen=True)
class Declaration:
    """What the contracts declare at the moment."""

    template: int = 0
    is_wide: bool = False
    has_note: bool = False
    needs_note: bool = False
    has_nulls: bool = False
    is_short: bool = False
    is_loud: bool = False
    is_appended: bool = False

    @property
    def facts(self) -> Contract:
        note = Column(
            "note",
            TEXT,
            "Note.",
            nullable=not self.needs_note,
            first=1 if self.is_short else 0,
            derive=shout if self.is_loud else None,
        )
        return Contract(
            dataset="facts",
            table="raw.facts",
            description="One row per fact.",
            columns=(
                Column("code", TEXT, "Code.", nullable=False),
                Column("amount", BIGINT if self.is_wide else INTEGER, "Amount."),
                *((note,) if self.has_note else ()),
            ),
            prefix="",
            key=TEMPLATES[self.template],
            partition=Partition(column="month", unit="month"),
            nulls=("NA",) if self.has_nulls else (),
            volume=None,
        )

    @property
    def names(self) -> Contract:
        delivery: dict[str, Any] = {"key": "names-*.csv", "delivery": "append"} if self.is_appended else {"keys": NAMES}
        return Contract(
            dataset="names",
            table="raw.names",
            description="One row per code.",
            columns=(Column("code", TEXT, "Code."), Column("name", TEXT, "Name.")),
            prefix="",
            is_optional=True,
            volume=None,
            **delivery,
        )

    def partition_of(self, key: str) -> str:
        day = KeyTemplate("", TEMPLATES[self.template]).date_of(key)
        assert day
        return partition_name(day, "month")

    def row_of(self, record: Record) -> Row | None:
        """The row of a record, or None if it is rejected."""
        code, amount, note = (None if text == "" or (self.has_nulls and text == "NA") else text for text in record)
        if code is None or not (amount is None or amount.isdigit()):
            return None
        if amount is not None and int(amount) >= (1 << 63 if self.is_wide else 1 << 31):
            return None
        if not self.has_note:
            note = None
        elif note is None and self.needs_note:
            return None
        note = note[:1] if note and self.is_short else note
        note = note.upper() if note and self.is_loud else note
        return (code, None if amount is None else int(amount), note)

    def is_over_budget(self, records: Iterable[Record]) -> bool:
        return sum(self.row_of(record) is None for record in records) > ALLOWED

    def is_empty(self, records: Iterable[Record]) -> bool:
        return all(self.row_of(record) is None for record in records)


@dataclass
class Expected:
    """What all tables must hold."""

    facts: Counter[Row]
    rejected: Counter[Row]
    counts: dict[str, Row]
    names: Counter[Row]
    tables: dict[str, Counter[Row]]


def expected(
    declared: Declaration,
    objects: Mapping[str, list[Record]],
    names: Mapping[str, Mapping[str, str]],
    newest: str | None,
) -> Expected:
    """Compute every table from the objects in the lake.

    Args:
        declared: The contracts.
        objects: Records of the facts, by key.
        names: The delivered names, by key.
        newest: The key of the newest object of names.
    """
    facts, rejected, counts = Counter[Row](), Counter[Row](), dict[str, Row]()
    by_month: dict[str, list[Row]] = {}
    for key, records in objects.items():
        month = declared.partition_of(key)
        rows = by_month.setdefault(month, [])
        good = 0
        for line, record in enumerate(records, 2):
            row = declared.row_of(record)
            if row is None:
                rejected[(key, line, ",".join(record))] += 1
            else:
                facts[(partition_value(month), key, line, *row)] += 1
                rows.append(row)
                good += 1
        counts[key] = (month, len(records), good, len(records) - good)
    chosen = names if declared.is_appended else {key: names[key] for key in names if key == newest}
    pairs = [(code, name) for found in chosen.values() for code, name in found.items()]
    lookup: dict[str, str] = {}
    for code, name in pairs:
        lookup[code] = max(name, lookup.get(code, name))
    return Expected(
        facts,
        rejected,
        counts,
        Counter(pairs),
        {
            "core.names": Counter(lookup.items()),
            "marts.sums": Counter(_sums(by_month, lookup)),
            "marts.totals": Counter([_total(by_month, len(pairs))]),
            "latest.facts": Counter(_latest(by_month)),
            "history.codes": Counter(_history(by_month)),
        },
    )


def _sums(by_month: Mapping[str, list[Row]], lookup: Mapping[str, str]) -> Iterable[Row]:
    for month, rows in by_month.items():
        found: dict[str, list[int | None]] = {}
        for code, amount, _ in rows:
            found.setdefault(lookup.get(code, code), []).append(amount)
        for name, amounts in found.items():
            yield partition_value(month), name, _sum(amounts), len(amounts)


def _sum(amounts: Iterable[int | None]) -> int | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


def _total(by_month: Mapping[str, list[Row]], name_count: int) -> Row:
    rows = [row for found in by_month.values() for row in found]
    return len(rows), _sum(amount for _, amount, _ in rows), name_count


def _latest(by_month: Mapping[str, list[Row]]) -> Iterable[Row]:
    found: dict[str, tuple[str, int]] = {}
    for month, rows in by_month.items():
        for code, amount, _ in rows:
            found[code] = max(found.get(code, ("", -2)), (month, -1 if amount is None else amount))
    for code, (month, largest) in found.items():
        yield code, partition_value(month), None if largest < 0 else largest


def _history(by_month: Mapping[str, list[Row]]) -> Iterable[Row]:
    months = sorted(by_month)
    for code in {row[0] for rows in by_month.values() for row in rows}:
        versions: list[list[Any]] = []
        for place, month in enumerate(months):
            amounts = [amount for name, amount, _ in by_month[month] if name == code]
            start = partition_value(month)
            end = partition_value(months[place + 1]) if place + 1 < len(months) else None
            if not amounts:
                continue
            largest = max((amount for amount in amounts if amount is not None), default=None)
            if versions and versions[-1][1] == largest and versions[-1][3] == start:
                versions[-1][3] = end
            else:
                versions.append([code, largest, start, end])
        yield from map(tuple, versions)
