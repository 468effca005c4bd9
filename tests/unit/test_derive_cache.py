"""The cache of derived values: each text gets its own value, hits stay frequent in a full cache, memory is bounded."""

import ctypes
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

import pytest
from copied_rows import batch_of, one_column, parsed

from tasks.contracts.types import ColumnType
from tasks.engine.formats import rows
from tasks.engine.formats.rows import RowEncoder

ROOT = Path(__file__).parents[2]
HELD = 2_550
"""How many texts of 2,000 bytes the cache holds with a value of the same size."""


@pytest.fixture(autouse=True)
def _key_of_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the same key in each run, because the key also decides which texts a full cache forgets."""
    monkeypatch.setattr(rows, "HASH_KEY", (ctypes.c_uint64 * 2)(16, 23))


def text_of(number: int) -> str:
    return f"{number:02000}"


def asked_about(texts: Iterable[str]) -> Counter[str]:
    """Encode the texts, and count how often the function of their column is called for each one."""
    asked: Counter[str] = Counter()

    def keep(text: str) -> str:
        asked[text] += 1
        return "<" + text[1:]

    encoder = RowEncoder(one_column(ColumnType("text", "any", keep)))
    wanted = [*texts]
    for first in range(0, len(wanted), 1_000):
        some = wanted[first : first + 1_000]
        assert encoder.encode(batch_of("x", some)).count == len(some)
    return asked


def test_function_is_called_once_for_each_text() -> None:
    asked: list[str] = []

    def shout(text: str) -> str | None:
        asked.append(text)
        return None if text == "no" else text.upper()

    loud = ColumnType("text", "any", shout)
    texts = ["a", "b", None, "a", "no", "", "b", "no", "é" * 3000]
    assert parsed(loud, *texts) == ["A", "B", None, "A", None, "", "B", None, "É" * 3000]
    assert sorted(asked) == sorted({text for text in texts if text is not None})


def test_many_derived_values_are_not_confused() -> None:
    numbers = ColumnType("text", "any", lambda text: str(int(text) * 7))
    texts = [str(number % 40_000) for number in range(60_000)]
    assert parsed(numbers, *texts) == [str(int(text) * 7) for text in texts]


@pytest.mark.parametrize(
    ("size", "times"),
    [
        pytest.param(20, 1, id="short"),
        pytest.param(32_000, 1, id="long"),
        pytest.param(40_000, 4, id="too long with its value: asked each time"),
        pytest.param((64 << 10) + 1, 4, id="too long: asked each time"),
    ],
)
def test_cache_spans_batches_and_holds_no_long_text(size: int, times: int) -> None:
    texts = [f"{kind:0{size}}" for kind in range(3)]
    assert set(asked_about(chain.from_iterable([texts] * 4)).values()) == {times}


def test_full_cache_gives_each_text_its_own_value() -> None:
    """Texts and values of all sizes replace each other: empty, short, as long as a record may be, longer, invalid."""
    sizes = [0, 1, 15, 16, 17, 2_000, 30_000, 65_000, 65_536, 70_000]
    lengths = {f"{number}".ljust(sizes[number % 10], "x"): sizes[number % 7] for number in range(600)}
    spelled = {text: None if length == 1 else (text[:3] * length)[:length] for text, length in lengths.items()}
    order = random.Random(16)  # noqa: S311 - not a secret
    texts = order.choices([*lengths], k=1_500)
    assert parsed(ColumnType("text", "any", spelled.__getitem__), *texts) == [spelled[text] for text in texts]


PATTERNS: dict[str, tuple[Callable[[random.Random], Iterable[int]], float]] = {
    "as many as it holds, in a cycle": (lambda _: list(range(HELD * 9 // 10)) * 4, 0.25),
    "half more than it holds, in a cycle": (lambda _: list(range(HELD * 3 // 2)) * 4, 0.8),
    "twice as many as it holds, at random": (lambda order: order.choices(range(HELD * 2), k=HELD * 6), 0.72),
    "each a few times in sequence": (lambda _: (number // 4 for number in range(HELD * 8)), 0.26),
    "the first ones never again, then a cycle": (
        lambda _: chain(range(HELD), list(range(HELD, HELD * 9 // 5)) * 9),
        0.45,
    ),
    "a few often, all others once": (
        lambda order: (order.randrange(100) if number % 2 else number for number in range(100, HELD * 4)),
        0.6,
    ),
}
"""Numbers of texts, and the share of them for which the function may be called."""


@pytest.mark.slow
@pytest.mark.parametrize("name", PATTERNS)
def test_full_cache_keeps_a_share_of_the_texts_in_every_order(name: str) -> None:
    numbers, share = PATTERNS[name]
    wanted = [*numbers(random.Random(16))]  # noqa: S311 - not a secret
    asked = asked_about(map(text_of, wanted))
    assert asked.keys() == {*map(text_of, wanted)}
    assert asked.total() <= share * len(wanted)


@pytest.mark.slow
def test_company_of_each_of_a_hundred_thousand_domains_is_computed_once() -> None:
    asked = asked_about(f"company{number % 100_000}.co.uk" for number in range(200_000))
    assert asked.total() == 100_000


@pytest.mark.slow
def test_memory_of_the_cache_is_bounded_including_slots_and_allocator() -> None:
    code = """
from copied_rows import batch_of, one_column
from tasks.contracts.types import ColumnType
from tasks.engine.formats.rows import RowEncoder
def resident() -> int:
    return int(open("/proc/self/status").read().partition("VmRSS:")[2].split()[0])
kinds = ColumnType("text", "any", lambda text: text[::-1])
for ending, count in (("." * 2000, 1_000), ("", 10_000), (".co.uk", 10_000)):
    encoder = RowEncoder(one_column(kinds))
    encoder.encode(batch_of("x", ["a" + ending] * count))
    before = resident()
    for first in range(0, 35 * count, count):
        encoder.encode(batch_of("x", [f"{first + place}{ending}" for place in range(count)]))
    print(resident() - before)
    del encoder
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    grown = [int(line) for line in done.stdout.split()]
    assert len(grown) == 3, done.stderr
    assert max(grown) < 24 << 10
