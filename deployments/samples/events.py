"""Sample files of user events: deterministic, fast to generate, and with every unusual value that a loader must handle.

A file consists of ordinary rows from fixed pools and of special rows at known positions. The special rows are unusual
but valid rows, rows that the previous month's file contains too, and bad rows that must be rejected. The same arguments
give the same bytes on every machine. `python -m deployments.samples.events 2021-04 --rows 1000 > events.csv` writes a
file.
"""

import argparse
import random
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from deployments.samples.events_rows import (
    POOL_MASK,
    activities,
    bad_records,
    boundary_records,
    first_day,
    generator,
    next_month,
    people,
    showcase,
    stamps,
)

COLUMNS = ("id", "timestamp", "email", "country", "ip", "uri", "action", "tags")
DEFAULT_SEED = 20210401
DEFAULT_BAD_ROWS = 6

# The months (1 to 12) whose files have CRLF line ends, a byte order mark, and no final newline.
CRLF_MONTH = 3
BOM_MONTH = 6
NO_FINAL_NEWLINE_MONTH = 9

_BLOCK_ROWS = 16_384
_REPEAT_EVERY = 500


@dataclass(frozen=True)
class InvalidRow:
    """A row that a loader must reject.

    Attributes:
        line_number: The record's first physical line. The header is line 1.
        column: The column with the invalid value. Each bad row has one.
        raw: The record's bytes without the line end.
        reason: A description of the error.
    """

    line_number: int
    column: str
    raw: bytes
    reason: str


@dataclass(frozen=True)
class SampleObject:
    """An object that `write_year` has written.

    Attributes:
        key: The object's key.
        month: The month of the events, `YYYY-MM`.
        rows: The number of records, including bad ones and without the header.
        bad_rows: The number of records that must be rejected.
    """

    key: str
    month: str
    rows: int
    bad_rows: int


@dataclass(frozen=True)
class _Plan:
    """The special rows of a file.

    Attributes:
        specials: The texts of special records, by record number from 0.
        bad: The column and the reason of each bad record, by record number.
    """

    specials: dict[int, str]
    bad: dict[int, tuple[str, str]]


def object_key(prefix: str, month: str) -> str:
    """Return the key of a month's object, e.g. `2021/04/events.csv`, under the prefix."""
    first = first_day(month)
    return f"{prefix}{first:%Y}/{first:%m}/events.csv"


def events_csv(month: str, rows: int, *, seed: int = DEFAULT_SEED, bad_rows: int = DEFAULT_BAD_ROWS) -> Iterator[bytes]:
    """Return the bytes of a month's file in chunks of about 2 MB.

    A file with at least 100 rows contains every special row. A shorter file contains the bad rows and as many other
    special rows as fit.

    Args:
        month: The month, `YYYY-MM`.
        rows: The number of records, including bad ones; 0 gives a file with a header only.
        seed: The seed of the random values. All months of a seed have the same people.
        bad_rows: The number of records that a loader must reject. `planned_bad_rows` returns them.

    Raises:
        ValueError: The month is not `YYYY-MM`, or there are more bad rows than rows.
    """
    return _chunks(month, rows, _plan(month, rows, seed, bad_rows), seed)


def planned_bad_rows(
    month: str, rows: int, *, seed: int = DEFAULT_SEED, bad_rows: int = DEFAULT_BAD_ROWS
) -> list[InvalidRow]:
    """Return the bad rows of the file that `events_csv` generates with the same arguments, ordered by line number.

    Raises:
        ValueError: See `events_csv`.
    """
    plan = _plan(month, rows, seed, bad_rows)
    found = []
    extra_lines = 0  # only special rows span lines
    for position, text in sorted(plan.specials.items()):
        if position in plan.bad:
            column, reason = plan.bad[position]
            found.append(InvalidRow(2 + position + extra_lines, column, text.encode(), reason))
        extra_lines += text.count("\n")
    return found


def write_year(
    put: Callable[[str, Iterator[bytes]], object],
    year: int,
    rows: int,
    *,
    prefix: str = "",
    seed: int = DEFAULT_SEED,
    bad_rows: int = DEFAULT_BAD_ROWS,
) -> list[SampleObject]:
    """Write the twelve files of a year.

    Args:
        put: A function that writes an object. It gets the key and the chunks of each file, January first.
        year: The year.
        rows: The number of records in each file.
        prefix: The prefix of the keys.
        seed: See `events_csv`.
        bad_rows: The number of bad rows in each file.

    Returns:
        The written objects in the order of the months.
    """
    written = []
    for number in range(1, 13):
        month = f"{year:04d}-{number:02d}"
        key = object_key(prefix, month)
        put(key, events_csv(month, rows, seed=seed, bad_rows=bad_rows))
        written.append(SampleObject(key, month, rows, bad_rows))
    return written


def _chunks(month: str, rows: int, plan: _Plan, seed: int) -> Iterator[bytes]:
    first = first_day(month)
    line_end = "\r\n" if first.month == CRLF_MONTH else "\n"
    start = "\ufeff" if first.month == BOM_MONTH else ""
    yield (start + ",".join(COLUMNS) + line_end).encode()
    rng = generator(seed, month, "rows")
    pools = stamps(month, seed), people(seed), activities(seed)
    for begin in range(0, rows, _BLOCK_ROWS):
        end = min(begin + _BLOCK_ROWS, rows)
        records = _ordinary_rows(rng, end - begin, pools)
        for index in range(_REPEAT_EVERY, len(records), _REPEAT_EVERY):
            records[index] = records[index - _REPEAT_EVERY // 2]
        for position in plan.specials.keys() & range(begin, end):
            records[position - begin] = plan.specials[position]
        is_open_end = end == rows and first.month == NO_FINAL_NEWLINE_MONTH
        yield (line_end.join(records) + ("" if is_open_end else line_end)).encode()


def _ordinary_rows(rng: random.Random, count: int, pools: tuple[list[str], list[str], list[str]]) -> list[str]:
    stamp, person, activity = pools
    # Two random draws for each block instead of several for each row: this loop determines the generator's speed.
    digits = rng.randbytes(16 * count).hex()
    picks = struct.unpack(f"<{3 * count}H", rng.randbytes(6 * count))
    return [
        f"{digits[i : i + 8]}-{digits[i + 8 : i + 12]}-4{digits[i + 13 : i + 16]}-a{digits[i + 17 : i + 20]}"
        f"-{digits[i + 20 : i + 32]},{stamp[a & POOL_MASK]},{person[b & POOL_MASK]},{activity[c & POOL_MASK]}"
        for i, a, b, c in zip(range(0, 32 * count, 32), picks[0::3], picks[1::3], picks[2::3], strict=True)
    ]


def _plan(month: str, rows: int, seed: int, bad_rows: int) -> _Plan:
    if not 0 <= bad_rows <= rows:
        raise ValueError(f"expected 0 to {rows} bad rows in a file of {rows} rows, found {bad_rows}")
    bad: list[tuple[str, tuple[str, str] | None]] = [
        (text, (column, reason)) for text, column, reason in bad_records(month, seed, bad_rows)
    ]
    good = [*boundary_records(first_day(month), seed), *boundary_records(next_month(month), seed)]
    good += showcase(month, seed)
    chosen = bad + [(text, None) for text in good[: rows - bad_rows]]
    generator(seed, month, "places").shuffle(chosen)
    places = [index * rows // len(chosen) for index in range(len(chosen))]
    return _Plan(
        {place: text for place, (text, _) in zip(places, chosen, strict=True)},
        {place: error for place, (_, error) in zip(places, chosen, strict=True) if error},
    )


def main(arguments: list[str] | None = None) -> None:
    """Write a month's file to standard output."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.samples.events", description="Print a sample events file."
    )
    parser.add_argument("month", help="month of the events, YYYY-MM")
    parser.add_argument("--rows", type=int, default=1000, help="records in the file (default 1000)")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help=f"seed (default {DEFAULT_SEED})")
    parser.add_argument(
        "--bad-rows",
        type=int,
        default=DEFAULT_BAD_ROWS,
        help=f"records that a loader must reject (default {DEFAULT_BAD_ROWS})",
    )
    options = parser.parse_args(arguments)
    try:
        chunks = events_csv(options.month, options.rows, seed=options.seed, bad_rows=options.bad_rows)
    except ValueError as error:
        parser.error(str(error))
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)


if __name__ == "__main__":
    main()
