"""The digest of a contract changes if the same bytes would give other rows, so that a load reads its objects again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

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
