"""CSV records, compared with a reader that processes one byte at a time."""

import ctypes
import time
from unittest.mock import patch

import pytest
from example_counts import examples
from hypothesis import given
from hypothesis import strategies as st
from plain_csv import read_plain

from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats import csv_records
from tasks.engine.formats.columns import ColumnMatch
from tasks.engine.formats.csv_records import CsvRecords, read_records
from tasks.engine.formats.frames import frame_of
from tasks.engine.formats.native import binding
from tasks.engine.formats.native.binding import library

PIECES = [
    b"a", b"b", b",", b",", b'"', b'"', b'""', b"\n", b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"\x01",
    "é".encode(), "\U0001f600".encode(), b"\xef\xbb\xbf", b'","', b'"\n', b',"', b" ",
]  # fmt: skip
anything = st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)


def columns_of(width: int) -> ColumnMatch:
    names = tuple(f"c{place}" for place in range(width))
    return ColumnMatch({name: place for place, name in enumerate(names)}, names, ())


def sound(records: CsvRecords) -> list[tuple[int, bytes]]:
    return records.records_of(range(records.row_count))


def outcomes(data: bytes, width: int, cuts: list[int]) -> list[tuple[int, bytes, str | None]]:
    """Return the line number, bytes and error of each record. The input is split into chunks at the cuts."""
    found: list[tuple[int, bytes, str | None]] = []
    pending, line, begin = b"", 1, 0
    for cut in [*sorted(cuts), len(data)]:
        is_last = cut == len(data)
        pending += data[begin:cut]
        begin = cut
        for records in read_records(pending, columns_of(width), line, is_last=is_last):
            found += [(number, raw, None) for number, raw in sound(records)]
            found += [(row.line_number, row.raw, row.reason) for row in records.rejected()]
            assert all(row.column_name is None for row in records.rejected())
            end, line = records.end, records.line
        pending = pending[end:]
        if is_last:
            break
    assert pending == b""
    return sorted(found)


@pytest.mark.slow
@examples(600)
@given(anything, st.integers(1, 3), st.lists(st.integers(0, 60), max_size=8), st.integers(1, 4), st.integers(1, 40))
def test_every_record_has_its_outcome_wherever_the_bytes_are_cut(
    data: bytes, width: int, cuts: list[int], most_records: int, most_bytes: int
) -> None:
    expected = [(r.line_number, r.raw, r.reason) for r in read_plain(data, width)]
    with patch.multiple(csv_records, MOST_RECORDS=most_records, MOST_BYTES=most_bytes):
        assert outcomes(data, width, [cut for cut in cuts if cut < len(data)]) == expected


@pytest.mark.parametrize("line", [b"1,2\n", b"1\n", b'1,"2\n', b'"\n', b"1,\0\n"])
def test_group_has_a_bounded_number_of_records(line: bytes) -> None:
    pieces = list(read_records(line * 100_000, columns_of(2)))
    assert max(piece.row_count + piece.rejected_count for piece in pieces) == 16_384
    assert (pieces[-1].end, pieces[-1].line) == (len(line) * 100_000, 100_001)


def test_piece_is_bounded_in_bytes_but_holds_a_record() -> None:
    line = b"1," + b"x" * 700_000 + b"\n"
    assert [piece.row_count for piece in read_records(line * 5, columns_of(2))] == [2, 2, 1]
    line = b"1," + b"x" * 5_000_000 + b"\n"
    assert [piece.row_count for piece in read_records(line * 3, columns_of(2))] == [1, 1, 1]


def test_input_beyond_the_maximum_size_is_refused_before_reading() -> None:
    data = bytes(1 << 30)  # zeros take no memory until somebody reads them
    with pytest.raises(ValueError, match=r"at most 1,073,741,823 bytes of CSV at once, found 1,073,741,824"):
        CsvRecords(data, columns_of(2))
    for size in (1 << 30, 1 << 32, (1 << 32) + 4, -(1 << 63) + (1 << 64) - 1):
        assert not library.csv_read(binding.CsvInput(data=ctypes.addressof(ctypes.c_char()), size=size))


@examples(300)
@given(anything, st.integers(1, 3))
def test_valid_records_have_the_written_fields(data: bytes, width: int) -> None:
    expected = [tuple(record.fields) for record in read_plain(data, width) if record.fields is not None]
    assert frame_of(CsvRecords(data, columns_of(width)).batch().strings).rows() == expected


@examples(100)
@given(anything, st.permutations(range(3)), st.integers(1, 3))
def test_wanted_fields_are_found_in_any_order(data: bytes, order: list[int], wanted: int) -> None:
    positions = {f"c{place}": place for place in order[:wanted]}
    records = CsvRecords(data, ColumnMatch(positions, ("c0", "c1", "c2"), ()))
    expected = [record.fields for record in read_plain(data, 3) if record.fields is not None]
    assert frame_of(records.batch().strings).rows() == [tuple(row[i] for i in positions.values()) for row in expected]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"1,2,3\n4,5,6\n", [(1, "expected 2 fields, found 3"), (2, "expected 2 fields, found 3")]),
        (b"1\n4,5\n", [(1, "expected 2 fields, found 1"), (2, None)]),
        (b'1,"2\n3,4\n', [(1, "misplaced or unclosed quote"), (2, None)]),
        (b'1,"2"3\n4,5\n', [(1, "misplaced or unclosed quote"), (2, None)]),
        (b"1,\xff\n4,5\n", [(1, "not UTF-8"), (2, None)]),
        (b"1,\0\n4,5\n", [(1, "NUL byte"), (2, None)]),
        (b'"x\ny",\0\n4,5\n', [(1, "NUL byte"), (3, None)]),
        (b'"x\n\0",y\n4,5\n', [(1, "NUL byte"), (3, None)]),
        (b'"x\ny",a\rb\n4,5\n', [(1, "stray carriage return"), (3, None)]),
        (b"1,2\r\r\n4,5\n", [(1, "stray carriage return"), (2, None)]),
        (b'\n\r\n1,"\r\n"\r\n\n4,5', [(3, None), (6, None)]),
        (b'a"b,c"d"\n4,5\n', [(1, None), (2, None)]),
    ],
)
def test_error_rejects_only_its_own_record(data: bytes, expected: list[tuple[int, str | None]]) -> None:
    assert [(line, error) for line, _, error in outcomes(data, 2, [])] == expected
    assert [(line, error) for line, _, error in outcomes(data, 2, list(range(len(data))))] == expected


def test_whole_line_is_rejected_when_the_bytes_end_after_its_misplaced_quote() -> None:
    found = CsvRecords(b'1,2\n"a"x', columns_of(2), is_last=False)
    assert (found.end, found.rejected()) == (4, [])


def test_unclosed_quote_longer_than_a_record_rejects_only_its_line() -> None:
    good = b"".join(b"%d,x\n" % number for number in range(200))
    with patch.object(csv_records, "MAX_RECORD_BYTES", 100):
        found = outcomes(b'0,"open\n' + good, 2, list(range(0, 1000, 50)))
    assert [(line, raw) for line, raw, error in found if error] == [(1, b'0,"open')]
    assert len(found) == 201


@pytest.mark.parametrize("line", [b'a","\n', b'0,"open\n', b'"",x"\n', b'"\n'])
def test_time_grows_with_the_bytes_alone_when_every_line_opens_a_quote(line: bytes) -> None:
    started = time.process_time()
    CsvRecords(b"x,y\n" + line * 60_000, columns_of(2))
    # It takes 0.2 s. It would take 20 s if each open quote were searched up to the end of the bytes.
    assert time.process_time() - started < 3


def test_line_without_an_end_is_refused_when_it_outgrows_the_longest_record() -> None:
    with (
        patch.object(csv_records, "MAX_RECORD_BYTES", 100),
        pytest.raises(UnreadableObjectError, match="line 7: expected a record of at most"),
    ):
        CsvRecords(b"x" * 101, columns_of(2), 7, is_last=False)


def test_record_of_ten_megabytes_is_sound() -> None:
    raw = b'1,"' + b'""\n' * (10 << 20 >> 2) + b'"'
    pieces = read_records(raw + b"\n3,4\n", columns_of(2), is_last=False)
    found = [record for piece in pieces for record in sound(piece)]
    assert [line for line, _ in found] == [1, 2 + (10 << 20 >> 2)]
    assert found[0][1] == raw
