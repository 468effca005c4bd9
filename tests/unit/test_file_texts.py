"""The text of an SQL file is always current, although each version of a file is read once."""

import os
from pathlib import Path

import pytest

from tasks.engine.build.file_texts import text_of

LONG_AGO = 1_600_000_000


def test_text_is_current_after_earlier_reads(tmp_path: Path) -> None:
    file = tmp_path / "query.sql"
    assert text_of(file) == ""
    for text in ("SELECT 1", "SELECT 2", "SELECT 33"):
        file.write_text(text, encoding="utf-8")
        assert text_of(file) == text_of(file) == text
    for moment, text in enumerate(("SELECT 1", "SELECT 2")):
        file.write_text(text, encoding="utf-8")
        os.utime(file, (LONG_AGO + moment, LONG_AGO + moment))
        assert text_of(file) == text_of(file) == text
    file.unlink()
    assert text_of(file) == ""


def test_file_that_did_not_change_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "query.sql"
    file.write_text("SELECT 1", encoding="utf-8")
    os.utime(file, (LONG_AGO, LONG_AGO))
    assert text_of(file) == "SELECT 1"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "read again")
    assert text_of(file) == "SELECT 1"
