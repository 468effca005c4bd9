"""A project whose pipelines copy no database has no block of a source, and the doctor does not look for one."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tasks.doctor import blocks
from tasks.engine.doctor.outcomes import Finding


def test_check_of_the_blocks_does_not_apply_without_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "sources", dict)
    server = cast("Any", SimpleNamespace())  # the check asks the server for nothing
    found: list[Finding] = list(blocks.check_source_blocks(server))
    assert [(each.outcome, each.found) for each in found] == [("skipped", "no pipeline copies a database")]
