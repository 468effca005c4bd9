"""Encodings: objects are decoded while they are read, and undecodable bytes reject their record only."""

import gzip
import io
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_dataset import THINGS

from tasks.contracts.formats import ENCODINGS, Csv, FixedWidth, Format, Json, Ndjson
from tasks.engine.errors import UnreadableObjectError
from tasks.engine.formats.encodings import text_of, utf8_of
from tasks.engine.formats.frames import frame_of
from tasks.engine.formats.reader import read_batches

TEXTS = {
    "latin-1": "Größe;é\n",
    "cp1252": "5 € „Œuvre“\n",
    "iso8859-15": "5 €\n",
    "cp1251": "Имя\n",
    "mac-roman": "Größe\n",
    "utf-16": "a\u00e9\u65e5\U0001f600\n",
    "utf-16-le": "a\u00e9\u65e5\U0001f600\n",
    "utf-16-be": "a\u00e9\u65e5\U0001f600\n",
    "utf-32": "a\u65e5\U0001f600\n",
    "shift_jis": "日本語カナ\n",
    "cp932": "①日本\n",
    "euc_jp": "日本語\n",
    "gb18030": "汉字\U0001f600\n",
    "big5": "漢字\n",
    "euc_kr": "한국\n",
}


def decoded(data: bytes, encoding: str, size: int) -> bytes:
    file = utf8_of(io.BytesIO(data), encoding)
    pieces = []
    while piece := file.read(size):
        pieces.append(piece)
    assert file.read(size) == b""
    return b"".join(pieces)


@pytest.mark.parametrize("encoding", TEXTS)
def test_chunk_may_end_inside_a_character(encoding: str) -> None:
    text = TEXTS[encoding] * 3
    for size in (1, 2, 3, 4, 5, 7, 1000):
        assert decoded(text.encode(encoding), encoding, size) == text.encode()


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_every_supported_encoding_is_decoded_piece_by_piece(encoding: str) -> None:
    text = "Name;1\r\n\tx'\n"
    assert decoded(text.encode(encoding), encoding, 4).removeprefix(b"\xef\xbb\xbf") == text.encode()


@settings(max_examples=200)
@given(st.binary(max_size=30), st.integers(1, 20), st.sampled_from(sorted(TEXTS)))
def test_any_bytes_are_decoded_and_only_bad_bytes_are_marked(data: bytes, size: int, encoding: str) -> None:
    data = "\ufeff".encode("utf-16-le") + data if encoding == "utf-16" else data
    data = "\ufeff".encode("utf-32-le") + data if encoding == "utf-32" else data
    found = decoded(data, encoding, size)
    try:
        expected = data.decode(encoding).encode()
    except UnicodeDecodeError:
        with pytest.raises(UnicodeDecodeError):
            found.decode()
        text = found.decode(errors="surrogatepass")
        assert all(0xDC00 <= ord(one) <= 0xDCFF for one in text if 0xD800 <= ord(one) <= 0xDFFF)
    else:
        assert found == expected


def test_output_of_a_read_is_bounded() -> None:
    for encoding, byte in (("cp1252", b"\x80"), ("cp1252", b"\x81"), ("utf-16-le", b"\xe5\x65")):
        file = utf8_of(io.BytesIO(byte * 100_000), encoding)
        assert max(len(file.read(3000)) for _ in range(20)) <= 3000


def reasons(data: bytes, form: Format, name: str = "x.csv", size: int = 1000) -> list[tuple[int, str]]:
    file = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]
    batches = list(read_batches(file, name, replace(THINGS, format=form), size))
    return [(row.line_number, row.reason) for batch in batches for row in batch.rejected]


def names(data: bytes, form: Format, name: str = "x.csv", size: int = 1000) -> list[str]:
    file = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]
    batches = list(read_batches(file, name, replace(THINGS, format=form), size))
    return [value for batch in batches for value in frame_of(batch.strings)["name"].to_list()]


CP1252 = Csv(encoding="cp1252")
LAYOUT = (("name", 1, 6), ("day", 7, 10))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_undecodable_bytes_reject_their_record_only(size: int) -> None:
    data = b"name,day\n\xfc\x80,1\n\x81,2\nb\n\xe9,4\n"
    assert names(data, CP1252, size=size) == ["ü€", "é"]
    assert reasons(data, CP1252, size=size) == [(3, "not cp1252"), (4, "expected 2 fields, found 1")]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_truncated_last_character_rejects_the_last_record(encoding: str, mark: str) -> None:
    data = f"{mark}name,day\né,1\n日,2".encode(encoding)
    assert names(data, Csv(encoding=encoding)) == ["é", "日"]
    assert reasons(data[:-1], Csv(encoding=encoding)) == [(3, f"not {encoding}")]
    assert names(data[:-1], Csv(encoding=encoding)) == ["é"]


def test_lone_surrogate_rejects_its_record_only() -> None:
    data = "name,day\n".encode("utf-16") + b"\x00\xd8,\0001\0\n\0" + "b,2\n".encode("utf-16-le")
    assert names(data, Csv(encoding="utf-16")) == ["b"]
    assert reasons(data, Csv(encoding="utf-16")) == [(2, "not utf-16")]


def test_utf16_without_a_byte_order_mark_names_its_next_step() -> None:
    with pytest.raises(UnreadableObjectError, match=r"expected a byte order mark.*Declare utf-16-le or utf-16-be"):
        names("name,day\n".encode("utf-16-le"), Csv(encoding="utf-16"))


@pytest.mark.parametrize("form", [Csv(encoding="utf-8-sig"), Csv(encoding="UTF-8"), Csv(encoding="ascii")])
def test_encodings_that_are_parts_of_utf8_keep_the_bytes(form: Csv) -> None:
    assert names(b"\xef\xbb\xbfname,day\n\xc3\xa9,1\n", form) == ["é"]
    assert reasons(b"name,day\n\xe9,1\n", form) == [(2, "not UTF-8")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp1252", "shift_jis"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_encodings_of_all_formats(encoding: str, suffix: str) -> None:
    name = "日本" if encoding == "shift_jis" else "Grün"
    records = [{"name": name, "day": "1"}, {"name": "b", "day": "2"}]
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    document = json.dumps(records, ensure_ascii=False)
    cases: list[tuple[str, Format]] = [
        (f"name;day\n{name};1\nb;2\n", Csv(delimiter=";", encoding=encoding)),
        (f"{name:6}1\nb     2\n", FixedWidth(LAYOUT, encoding=encoding)),
        (lines, Ndjson(encoding=encoding)),
        (document, Json(encoding=encoding)),
    ]
    for text, form in cases:
        data = text.encode(encoding)
        data = gzip.compress(data) if suffix else data
        for size in (10, 1000):
            assert names(data, form, f"x.dat{suffix}", size) == [name, "b"]


def test_undecodable_json_and_lines_are_rejected_with_the_encoding() -> None:
    lines = b'{"name": "\x81", "day": "1"}\n{"name": "\xe9", "day": "2"}\n'
    assert reasons(lines, Ndjson(encoding="cp1252"), "x") == [(1, "not cp1252")]
    assert names(lines, Ndjson(encoding="cp1252"), "x") == ["é"]
    document = b"[" + lines.replace(b"}\n", b"},\n", 1) + b"]"
    assert reasons(document, Json(encoding="cp1252"), "x") == [(1, "not cp1252")]
    assert reasons(b"\x81     1\n\xe9     2\n", FixedWidth(LAYOUT, encoding="cp1252"), "x") == [(1, "not cp1252")]


@pytest.mark.parametrize(
    ("raw", "encoding", "expected"),
    [
        ("é,1".encode(), "cp1252", "é,1"),
        (b"\xe9,\x80", "cp1252", "é,€"),
        (b"\xe9,\x81", "cp1252", None),
        (b"\xe9,1", "utf-8", None),
        ("€\udc81".encode(errors="surrogatepass"), "iso8859-15", "€\x81"),
        ("日\udc87\udc40".encode(errors="surrogatepass"), "cp932", "日①"),
        ("日\udc87".encode(errors="surrogatepass"), "cp1252", None),
    ],
)
def test_rejected_bytes_are_decoded_by_the_encoding_that_the_contract_declares_now(
    raw: bytes, encoding: str, expected: str | None
) -> None:
    assert text_of(raw, encoding) == (raw if expected is None else expected.encode())
