"""Lines of fixed width: fields at fixed positions of characters."""

import io
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_dataset import THINGS

from tasks.contracts.formats import FixedWidth
from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.batches import Batch
from tasks.engine.formats.frames import frame_of
from tasks.engine.formats.reader import read_batches
from tasks.engine.formats.rows import RowEncoder

LAYOUT = FixedWidth((("name", 1, 5), ("day", 6, 10)))


def batches_of(data: bytes, layout: FixedWidth = LAYOUT, size: int = 1000) -> list[Batch]:
    file = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]
    return list(read_batches(file, "x.dat", replace(THINGS, format=layout), size))


def rows_of(data: bytes, layout: FixedWidth = LAYOUT, size: int = 1000) -> list[tuple[str | None, ...]]:
    return [row for batch in batches_of(data, layout, size) for row in frame_of(batch.strings).rows()]


@pytest.mark.parametrize("size", [1, 20, 1000])
@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("abcde2021-04-01", ("abcde", "2021-04-01")),
        (" b c 2021-04-01 and more", ("b c", "2021-04-01")),
        ("äöü日😀2021-04-01", ("äöü日😀", "2021-04-01")),
        ("\tx   2021-04-01\r", ("x", "2021-04-01")),
        ("     2021-04-01", (None, "2021-04-01")),
        ("abc", ("abc", None)),
        ("abcde", ("abcde", None)),
        ("abcde2021", ("abcde", "2021")),
        ('"a,b"2021-04-01', ('"a,b"', "2021-04-01")),
        ("\u00a0x   2021-04-01", ("\u00a0x", "2021-04-01")),
    ],
)
def test_line_is_sliced_by_characters(line: str, row: tuple[str | None, ...], size: int) -> None:
    assert rows_of(f"{line}\n".encode() * 3, LAYOUT, size) == [row] * 3
    assert rows_of(line.encode(), LAYOUT, size) == [row]


def test_blank_lines_preamble_and_comments_are_skipped_and_counted() -> None:
    layout = replace(LAYOUT, skip_lines=2, comment="*")
    data = b"\xef\xbb\xbftitle\n*\n\na    1\n   \n* note\nb    2\n\xff\nc"
    batches = batches_of(data, layout)
    assert rows_of(data, layout) == [("a", "1"), ("b", "2"), ("c", None)]
    assert [record for batch in batches for record in batch.records_of(range(3))] == [
        (4, b"a    1"),
        (7, b"b    2"),
        (9, b"c"),
    ]
    assert [(row.line_number, row.reason, row.raw) for batch in batches for row in batch.rejected] == [
        (8, "not UTF-8", b"\xff")
    ]


def test_fields_may_overlap_and_have_any_order() -> None:
    layout = FixedWidth((("day", 3, 2), ("unused", 1, 1), ("name", 1, 4)))
    (batch,) = batches_of(b"abcd\n", layout)
    assert frame_of(batch.strings).rows() == [("abcd", "cd")]
    assert batch.columns.unknown == ("unused",)


def test_line_that_ends_before_a_required_field_is_rejected() -> None:
    contract = replace(THINGS, columns=(THINGS.columns[0], replace(THINGS.columns[1], nullable=False)), format=LAYOUT)
    (batch,) = batches_of(b"a\nb    2021-04-01\nc    2021-\n")
    reasons = [(row.line_number, row.reason) for row in RowEncoder(contract).encode(batch).rejected]
    assert reasons == [
        (1, "day: expected a date YYYY-MM-DD, found nothing"),
        (3, "day: expected a date YYYY-MM-DD"),
    ]


@pytest.mark.parametrize("data", [b"", b"\n", b"title\n"])
def test_object_without_lines_has_no_rows(data: bytes) -> None:
    assert rows_of(data, replace(LAYOUT, skip_lines=1)) == []


def test_endless_line_is_refused() -> None:
    with pytest.raises(UnreadableObjectError, match="expected a line of at most 16 MiB"):
        rows_of(b"x" * (17 << 20))


@settings(max_examples=200)
@given(
    st.lists(st.text(st.sampled_from('ab é日😀\t,"'), max_size=12), max_size=6),
    st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), min_size=2, max_size=2),
)
def test_values_are_pythons_slices(lines: list[str], places: list[tuple[int, int]]) -> None:
    layout = FixedWidth(tuple((name, *place) for name, place in zip(("name", "day"), places, strict=True)))
    expected = [
        tuple(line[start - 1 : start - 1 + width].strip(" \t") or None for start, width in places)
        for line in lines
        if line.strip()
    ]
    assert rows_of("\n".join(lines).encode(), layout) == expected
