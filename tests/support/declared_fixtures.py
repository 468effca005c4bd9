"""Contracts, sources and settings that a test declares, as a module of `tasks.contracts` does."""

from collections.abc import Callable, Iterator

import pytest

from tasks.contracts import Contract
from tasks.contracts.settings import Setting
from tasks.contracts.source import Source
from tasks.engine import settings

Declare = Callable[..., None]


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Iterator[Declare]:
    """Each call adds its arguments to the catalog until the test ends."""

    def declare(*declared: Contract | Source | Setting) -> None:
        for item in declared:
            monkeypatch.setattr(f"tasks.contracts.settings.DECLARED_{id(item)}", item, raising=False)
        _forget()

    yield declare
    _forget()


def _forget() -> None:
    settings.known_variables.cache_clear()
    settings._replaced_variables.cache_clear()
    settings._meant.cache_clear()
