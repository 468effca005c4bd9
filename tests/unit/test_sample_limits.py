"""Samples with a value that a library of Python limits: its digits, its depth or its length."""

from pathlib import Path

import pytest

from tasks.engine.errors import UnreadableObjectError
from tasks.engine.samples.profiler import profile_sample
from tasks.sample_profile import sample_file

NESTED = b"[" * 1500 + b"]" * 1500


def kinds(path: Path, data: bytes) -> list[str]:
    path.write_bytes(data)
    profile = profile_sample(sample_file(str(path)))
    assert (profile.row_count, profile.rejections) == (3, ())
    return [column.kind.name for column in profile.columns]


@pytest.mark.parametrize("decimals", [b"", b".0"])
def test_number_of_thousands_of_digits_has_a_type(tmp_path: Path, decimals: bytes) -> None:
    data = b"id,x\n" + b"".join(
        b"%d,%s%s\n" % (i, number, decimals) for i, number in enumerate((b"9" * 5000, b"1", b"2"))
    )
    assert kinds(tmp_path / "a.csv", data) == ["integer", "numeric"]


def test_field_of_hundreds_of_kilobytes_is_text(tmp_path: Path) -> None:
    assert kinds(tmp_path / "a.csv", b'id,x\n1,"' + b"a" * 200_000 + b'"\n2,b\n3,c\n') == ["integer", "text"]


def test_json_document_that_nests_too_deeply_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'[{"id": %s}]' % NESTED)
    with pytest.raises(UnreadableObjectError, match=r"a\.json: expected JSON"):
        profile_sample(sample_file(str(path)))


def test_line_of_json_that_nests_too_deeply_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'{"id": %s}\n{"id": 2}\n' % NESTED)
    profile = profile_sample(sample_file(str(path)))
    assert profile.row_count == 1
    assert [(each.count, list(each.lines)) for each in profile.rejections] == [(1, [1])]
