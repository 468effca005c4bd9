"""The digest of a contract changes if the same bytes would give other rows, so that a load reads its objects again."""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from tasks.contracts import Column, Contract
from tasks.contracts.digests import contract_digest
from tasks.contracts.formats import Json
from tasks.contracts.types import TEXT

Derive = Callable[[str | None], str | None]
Codes = Mapping[str | None, str]

ONE: Codes = {"a": "1"}
TWO: Codes = {"a": "2"}


class Lookup:
    """A callable object, and an object with a method that a column names."""

    def __init__(self, codes: Codes) -> None:
        self._codes = codes
        self._itself = self  # the digest must not follow this for ever

    def __call__(self, text: str | None) -> str | None:
        return self._codes.get(text)

    def find(self, text: str | None) -> str | None:
        return self._codes.get(text)


@dataclass(eq=False, slots=True)
class SlottedLookup:
    codes: Codes

    def __call__(self, text: str | None) -> str | None:
        return self.codes.get(text)


def found_in(codes: Codes, text: str | None) -> str | None:
    return codes.get(text)


def missing_in(codes: Codes, text: str | None) -> str | None:
    return None if text in codes else text


def with_default(chosen: Codes) -> Derive:
    def derive(text: str | None, codes: Codes = chosen) -> str | None:
        return codes.get(text)

    return derive


def with_named_default(chosen: Codes) -> Derive:
    def derive(text: str | None, *, codes: Codes = chosen) -> str | None:
        return codes.get(text)

    return derive


def with_method(codes: Codes) -> Derive:
    find = codes.get

    def derive(text: str | None) -> str | None:
        return find(text)

    return derive


def things(key: str = "{year:04d}.csv", aliases: tuple[str, ...] = (), derive: Derive | None = None) -> Contract:
    columns = (Column("name", TEXT, "Name.", aliases=aliases, derive=derive),)
    return Contract("things", "s.things", "Things.", columns, "p", key=key, delivery="append")


KINDS: dict[str, Callable[[Codes], Derive]] = {
    "partial": lambda codes: partial(found_in, codes),
    "named argument of a partial": lambda codes: partial(found_in, codes=codes),
    "method of a mapping": lambda codes: codes.get,
    "callable object": Lookup,
    "callable object with slots": SlottedLookup,
    "method of an object": lambda codes: Lookup(codes).find,
    "default": with_default,
    "named default": with_named_default,
    "method in a closure": with_method,
}


@pytest.mark.parametrize("kind", KINDS)
def test_values_that_a_derivation_uses_change_the_digest(kind: str) -> None:
    derive = KINDS[kind]
    assert contract_digest(things(derive=derive(ONE))) != contract_digest(things(derive=derive(TWO)))
    assert contract_digest(things(derive=derive(ONE))) == contract_digest(things(derive=derive(dict(ONE))))


def test_function_of_a_partial_and_name_of_a_method_change_the_digest() -> None:
    assert contract_digest(things(derive=partial(found_in, ONE))) != contract_digest(
        things(derive=partial(missing_in, ONE))
    )
    methods = [str.strip, str.upper, Lookup(ONE).find, Lookup(ONE).__call__]
    assert len({contract_digest(things(derive=method)) for method in methods}) == 4  # type: ignore[arg-type]


def test_alias_changes_the_digest_only_if_an_object_without_it_was_loaded() -> None:
    def is_changed(contract: Contract, *aliases: str) -> bool:
        other = replace(contract, columns=(replace(contract.columns[0], aliases=aliases),))
        return contract_digest(contract) != contract_digest(other)

    assert not is_changed(things("{year:04d}.csv"), "title")
    assert is_changed(things("{year:04d}.JSONL"), "title")
    assert is_changed(replace(things("{year:04d}"), format=Json()), "title")
    assert is_changed(things("{year:04d}.json", ("a",)), "b")
    assert not is_changed(things("{year:04d}.json", ("a",)), "a")


SOURCES = {
    "lambda whose body is on the next line": "made = dict(\n    one=lambda text:\n    {},\n)\nderive = made['one']\n",
    "lambda with a condition on the next line": "derive = [lambda text: text\n    if {} else None][0]\n",
    "lambda in a lambda": "derive = (lambda: lambda text: text or\n    {})()\n",
    "function": "def derive(text):\n    return {}\n",
    "function of a module of the project": (
        "import sys\nrules = sys.modules[__name__]\ndef clean(text):\n    return {}\n"
        "def derive(text):\n    return rules.clean(text)\n"
    ),
    "decorator": (
        "import functools\ndef strict(function):\n    @functools.wraps(function)\n    def checked(text):\n"
        "        return function(text) or {}\n    return checked\n@strict\ndef derive(text):\n    return text\n"
    ),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_changed_source_changes_the_digest(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def digest(value: str) -> str:
        path = tmp_path / f"made_up_{value}.py"
        path.write_text(SOURCES[kind].format(value))
        spec = importlib.util.spec_from_file_location("tasks.made_up", path)
        assert spec
        assert spec.loader
        made_up = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "tasks.made_up", made_up)
        spec.loader.exec_module(made_up)
        return contract_digest(things(derive=made_up.derive))

    assert digest("1") != digest("22")


@pytest.mark.parametrize(
    "values",
    [(Decimal(1), Decimal(2)), (date(2021, 4, 1), date(2021, 4, 2)), (b"a", b"b"), (1j, 2j), (range(1), range(2))],
    ids=lambda values: type(values[0]).__name__,
)
def test_constant_of_a_derivation_changes_the_digest(values: tuple[object, object]) -> None:
    def derive(constant: object) -> Derive:
        return lambda text: None if text == constant else text

    one, other = (contract_digest(things(derive=derive(value))) for value in values)
    assert one != other


def test_function_that_calls_itself_has_a_digest() -> None:
    def shortened(text: str | None) -> str | None:
        return shortened(text[1:]) if text and text.startswith("0") else text

    assert contract_digest(things(derive=shortened)) == contract_digest(things(derive=shortened))


def test_derive_without_a_hash_is_refused_with_the_next_step() -> None:
    @dataclass(frozen=True)
    class Frozen:
        codes: Codes

        def __call__(self, text: str | None) -> str | None:
            return self.codes.get(text)

    message = "things, column name: expected derive to be a function or an object with a hash, found Frozen.*eq=False"
    with pytest.raises(TypeError, match=message):
        things(derive=Frozen(ONE))
