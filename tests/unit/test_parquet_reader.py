"""Parquet that is damaged, holds texts that are not UTF-8, or columns of types that nobody asked for."""

import io
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from copied_rows import Values, validated

from tasks.contracts import Column, Contract
from tasks.contracts.types import BIGINT, NUMERIC, TEXT, TIMESTAMPTZ, UUID, ColumnType
from tasks.contracts.words import WORDS
from tasks.engine.errors import ContractError, TallyError, UnreadableObjectError
from tasks.engine.formats.parquet_values import invalid_texts
from tasks.engine.formats.reader import read_batches
from tasks.engine.rejected_rows import Reason, ReasonCode, RejectedRow

NOT_UTF8 = Reason(ReasonCode.NOT_UTF8, "not UTF-8")
A_UUID = "123e4567-e89b-12d3-a456-426614174000"


def contract_of(**types: ColumnType) -> Contract:
    return Contract("x", "s.x", "x", tuple(Column(name, type_, name) for name, type_ in types.items()), "p")


def written(table: "pa.Table", **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def load(data: bytes, contract: Contract) -> tuple[Values, list[RejectedRow]]:
    rows: Values = []
    rejected: list[RejectedRow] = []
    for batch in read_batches(io.BufferedReader(io.BytesIO(data)), "x.parquet", contract):
        part = validated(contract, batch)
        rows += part.rows
        rejected += part.rejected
    return rows, rejected


MANY = contract_of(text=TEXT, at=TIMESTAMPTZ, number=BIGINT, price=NUMERIC(10, 2), words=WORDS)
OPTIONS = (
    {},
    {"compression": "none", "use_dictionary": False},
    {"compression": "zstd", "data_page_version": "2.0"},
)


def many_rows() -> "pa.Table":
    return pa.table(
        {
            "text": [f"text {n * n}" if n % 5 else None for n in range(60)],
            "at": pa.array([datetime(2021, 4, 1, n % 24, tzinfo=UTC) for n in range(60)], pa.timestamp("us", "UTC")),
            "number": [n * 10**9 for n in range(60)],
            "price": [Decimal(n).scaleb(-2) for n in range(60)],
            "words": [["a"] * (n % 4) for n in range(60)],
        }
    )


@pytest.mark.parametrize("options", OPTIONS)
def test_flipped_bit_never_loads_other_values(options: dict[str, Any]) -> None:
    data = written(many_rows(), write_page_checksum=True, row_group_size=40, **options)
    sound = load(data, MANY)
    outcomes = set()
    for bit in random.Random(1).sample(range(8 * len(data)), 400):  # noqa: S311 - the same bits in each run
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert load(bytes(damaged), MANY) == sound, f"bit {bit}"
            outcomes.add("sound")
        except TallyError as error:
            assert "x.parquet" in str(error)  # noqa: PT017 - either outcome is right
            outcomes.add(type(error).__name__)
    assert "UnreadableObjectError" in outcomes


@pytest.mark.parametrize("options", OPTIONS)
def test_truncated_parquet_is_refused_wherever_it_ends(options: dict[str, Any]) -> None:
    data = written(many_rows(), **options)
    for end in [*range(20), *range(20, len(data), 97), *range(len(data) - 20, len(data))]:
        with pytest.raises(UnreadableObjectError, match=r"x\.parquet cannot be read: .*Nothing was loaded"):
            load(data[:end], MANY)


@pytest.mark.parametrize("rest", [b"\0", b"PAR1", b"x" * 100])
def test_parquet_with_trailing_bytes_is_refused(rest: bytes) -> None:
    with pytest.raises(UnreadableObjectError, match=r"x\.parquet cannot be read"):
        load(written(many_rows()) + rest, MANY)


def test_footer_that_claims_gigabytes_is_refused() -> None:
    data = written(many_rows())
    with pytest.raises(UnreadableObjectError, match="expected a footer within"):
        load(data[:-8] + b"\xff\xff\xff\x7fPAR1", MANY)


SPOILT = [b"a", b"\xff", None, b"\xc3\xa9", b"\xed\xa0\x80", b"", b"\xff"]


def spoilt(type_: "pa.DataType") -> "pa.Array[Any]":
    if type_ == pa.dictionary(pa.int32(), pa.string()):
        words = pa.array([one for one in dict.fromkeys(SPOILT) if one is not None]).view(pa.string())
        places = {one: place for place, one in enumerate(one for one in dict.fromkeys(SPOILT) if one is not None)}
        return pa.DictionaryArray.from_arrays([None if one is None else places[one] for one in SPOILT], words)
    return pa.array(SPOILT, pa.binary()).view(pa.string()).cast(type_)


@pytest.mark.parametrize(
    "type_", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())], ids=str
)
@pytest.mark.parametrize("is_stored", [True, False])
def test_text_that_is_not_utf8_rejects_its_row_alone(type_: "pa.DataType", is_stored: bool) -> None:
    table = pa.table({"number": range(7), "text": spoilt(type_)})
    rows, rejected = load(written(table, store_schema=is_stored), contract_of(number=BIGINT, text=TEXT))
    assert [tuple(row.values()) for row in rows] == [(0, "a"), (2, None), (3, "é"), (5, "")]
    assert rejected == [
        RejectedRow(2, "text", NOT_UTF8, b'{"number":"1","text":"\xff"}'),
        RejectedRow(5, "text", NOT_UTF8, b'{"number":"4","text":"\xed\xa0\x80"}'),
        RejectedRow(7, "text", NOT_UTF8, b'{"number":"6","text":"\xff"}'),
    ]


@pytest.mark.parametrize("between", [[], [b""], [None, b"", None]], ids=["next", "empty", "nulls"])
def test_character_that_two_texts_share_rejects_both(between: list[bytes | None]) -> None:
    """All texts together are UTF-8, but each of the two holds a part of a character."""
    for character in ("é", "€", "😀"):
        whole = character.encode()
        for place in range(1, len(whole)):
            texts = pa.array([b"a", whole[:place], *between, whole[place:], whole], pa.binary()).view(pa.string())
            rows, rejected = load(written(pa.table({"text": texts})), contract_of(text=TEXT))
            assert [row.line_number for row in rejected] == [2, 3 + len(between)]
            kept = [None if one is None else one.decode() for one in between]
            assert [row["text"] for row in rows] == ["a", *kept, character]


def test_texts_are_judged_as_python_judges_them() -> None:
    """Arrays of random bytes, and slices of these arrays, whose offsets do not begin at 0."""
    rng = random.Random(16)  # noqa: S311 - the same texts in each run
    pieces = [b"a", b"\x7f", "é".encode(), "€".encode(), "😀".encode(), b"\xc3", b"\xa9", b"\xf0\x9f", b"\xed\xa0\x80"]
    for size in (0, 1, 2, 9, 40):
        for sound in (5, 9):  # the first five pieces are UTF-8
            for _ in range(40):
                texts = [b"".join(rng.choices(pieces[:sound], k=rng.randrange(4))) for _ in range(size)]
                first = rng.randrange(size + 1)
                array = pa.array(texts, pa.large_binary()).view(pa.large_string())[first:]
                expected = [place for place, text in enumerate(texts[first:]) if not is_utf8(text)]
                assert invalid_texts(array) == expected


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("is_large", [False, True])
def test_list_with_a_text_that_is_not_utf8_rejects_its_row_alone(is_large: bool) -> None:
    texts = pa.array([b"a", b"\xff", b"b", b"c", b"\xfe", b"\xfe"]).view(pa.string())
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 1, 3, 4, None, 6], pa.int32()), texts)
    table = pa.table({"words": lists.cast(pa.large_list(pa.large_string())) if is_large else lists})
    rows, rejected = load(written(table), contract_of(words=WORDS))
    assert [row["words"] is None for row in rows] == [False, False, False, True]
    assert rejected == [
        RejectedRow(3, "words", NOT_UTF8, b'{"words":["\xff","b"]}'),
        RejectedRow(5, "words", NOT_UTF8, b'{"words":["\xfe","\xfe"]}'),
    ]


def test_row_numbers_and_bytes_stay_right_beside_rejected_rows() -> None:
    table = pa.table({"number": pa.array(["x", "1", "2", "y"]), "text": spoilt(pa.string())[:4]})
    rows, rejected = load(written(table), contract_of(number=BIGINT, text=TEXT))
    assert [row["number"] for row in rows] == [2]
    assert [(row.line_number, row.column_name, row.raw) for row in rejected] == [
        (1, "number", b'{"number":"x","text":"a"}'),
        (2, "text", b'{"number":"1","text":"\xff"}'),
        (4, "number", '{"number":"y","text":"é"}'.encode()),
    ]


def unknown_columns() -> list["pa.Array[Any]"]:
    return [
        pa.array([Decimal(1)] * 2, pa.decimal256(70, 3)),
        pa.array([{"a": {"b": [1]}}] * 2),
        pa.array([[("k", {"v": 1})]] * 2, pa.map_(pa.string(), pa.struct({"v": pa.int64()}))),
        pa.array([1] * 2, pa.duration("ns")),
        pa.array([A_UUID.encode()[:16]] * 2, pa.uuid()),
        pa.array(["{}"] * 2, pa.json_()),
        pa.array([b"\xff"] * 2),
        pa.array([b"\xff"] * 2).view(pa.string()),
        pa.array([1.5] * 2, pa.float16()),
        pa.array([1] * 2, pa.time64("ns")),
        pa.nulls(2),
    ]


@pytest.mark.parametrize(
    "names", [[f"u{n}" for n in range(11)], ["u"] * 11, ["text.u", "number.", "", "u", *"abcdefg"]]
)
@pytest.mark.parametrize("is_first", [True, False])
def test_unknown_columns_do_not_matter(names: Sequence[str], is_first: bool) -> None:
    wanted: list[pa.Array[Any]] = [pa.array(["a", "b"]), pa.array([1, 2])]
    columns = [*unknown_columns(), *wanted] if is_first else [*wanted, *unknown_columns()]
    table = pa.table(columns, [*names, "text", "number"] if is_first else ["text", "number", *names])
    rows, rejected = load(written(table), contract_of(number=BIGINT, text=TEXT))
    assert [(row["number"], row["text"]) for row in rows] == [(1, "a"), (2, "b")]
    assert rejected == []


def test_repeated_wanted_column_is_refused() -> None:
    table = pa.table([pa.array(["a"]), pa.array(["b"])], ["text", "text"])
    with pytest.raises(ContractError, match="text"):
        load(written(table), contract_of(text=TEXT))


def test_wanted_columns_of_unusual_types_are_read() -> None:
    table = pa.table(
        {
            "price": pa.array([Decimal("1.50")], pa.decimal256(60, 2)),
            "id": pa.array([bytes(range(16))], pa.uuid()),
            "text": pa.array([1.5], pa.float16()),
            "at": pa.array([-2_208_988_800], pa.timestamp("s", "Europe/Paris")),  # when its offset had seconds
            "other": pa.array([0], pa.timestamp("us", "-03:30")),
        }
    )
    contract = contract_of(price=NUMERIC(10, 2), id=UUID, text=TEXT, at=TIMESTAMPTZ, other=TIMESTAMPTZ)
    rows, rejected = load(written(table), contract)
    assert rejected == []
    assert rows == [
        {
            "price": Decimal("1.50"),
            "id": bytes(range(16)),
            "text": "1.5",
            "at": datetime(1900, 1, 1, tzinfo=UTC),
            "other": datetime(1970, 1, 1, tzinfo=UTC),
        }
    ]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (pa.array([1], pa.duration("s")), r"duration\[s\]"),
        (pa.array([b"a"]), "binary"),
        (pa.array([{"a": 1}]), "struct"),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), "map"),
        (pa.array([0], pa.timestamp("s", "Mars/Olympus")), "Mars/Olympus"),
    ],
)
def test_wanted_column_without_a_spelling_is_refused(values: "pa.Array[Any]", found: str) -> None:
    with pytest.raises(ContractError, match=rf"column text: expected .*{found}.*Write the object"):
        load(written(pa.table({"text": values})), contract_of(text=TEXT))
