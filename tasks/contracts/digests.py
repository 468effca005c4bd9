"""The digest of a contract, which changes whenever the contract would parse an object differently."""

import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache, partial
from types import (
    BuiltinMethodType,
    CodeType,
    FunctionType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    NoneType,
)
from typing import Any
from uuid import UUID

from tasks.contracts import Column, Contract
from tasks.contracts.formats import Json, format_code
from tasks.contracts.spelling import AS_POSTGRES

_OURS = {"tasks"}
_NAMED = {"", " part function", " part object"}
"""The callable that a column names, the callable in its `partial` or bound method, and the object of this method."""

_WITH_VALUE = (
    *(str, bytes, bytearray, int, float, complex, range, NoneType, re.Pattern),
    *(Decimal, Fraction, date, time, timedelta, tzinfo, UUID),
)
"""Types whose `repr` shows the value, and is the same in every process."""


@lru_cache
def contract_digest(contract: Contract) -> str:
    """Return a digest of everything in a contract that decides how it parses an object.

    If the same bytes would give different rows, the digest is different. The digest covers the names, types, sources,
    nullability and derivations of columns. A derivation is covered by its source code and the source code of everything
    in this project that it uses. Their comments and docstrings count, so a changed comment there loads objects again.
    Descriptions, indexes and object names are not covered. Aliases are covered for JSON only: without an alias, the
    value of its key became null, while an object of any other format was not loaded.
    """
    partition = contract.partition.column if contract.partition else ""
    parts: list[Any] = [partition, contract.records_key, *map(_column, contract.read_columns)]
    if contract.format:
        parts.append(format_code(contract.format))
    if _may_be_json(contract) and any(contract.sources.values()):
        parts.append(["aliases", *([source, *aliases] for source, aliases in contract.sources.items() if aliases)])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _may_be_json(contract: Contract) -> bool:
    """Return whether an object may be JSON, by the declared format or by the default of the key template."""
    keys = [*contract.keys, contract.key_setting.default if contract.key_setting else ""]
    return isinstance(contract.format, Json) or (contract.format is None and any("json" in key.lower() for key in keys))


def _column(column: Column) -> list[Any]:
    kind = column.type
    derived = [_source(function) for function in (column.derive, kind.derive, kind.derive_unclear)]
    taken = [column.source_name, column.nullable, column.first, column.after]
    parts = [column.name, kind.postgres, kind.is_rounded, *taken, *derived]
    if column.nulls:
        parts.append(["nulls", *column.nulls])
    if column.spelling and column.spelling != AS_POSTGRES:
        parts.append(["spelling", *map(repr, astuple(column.spelling))])
    return parts


def _source(function: Callable[..., Any] | None) -> list[str]:
    """Return the source code of a function and of the project's functions, classes and constants that it uses."""
    found: dict[str, str] = {}
    seen: dict[int, Any] = {}  # holds the values, so that no other value gets the id of one
    waiting: list[tuple[str, Any]] = [("", function)] if function else []
    while waiting:
        name, value = waiting.pop()
        plain, wrappers = _unwrapped(value)
        if name in found:
            continue
        found[name] = _text(plain)
        waiting += [(f"{name} wrapper {n}", wrapper) for n, wrapper in enumerate(wrappers)]
        if id(plain) in seen:  # a function or an object may refer to itself
            continue
        seen[id(plain)] = plain
        if isinstance(plain, FunctionType) and (_is_ours(plain.__module__) or name in _NAMED):
            names = _names(plain.__code__)
            for one in sorted(names & plain.__globals__.keys()):
                waiting += _reached(one, plain.__globals__[one], names)
            waiting += [(f"{name} cell {n}", cell.cell_contents) for n, cell in enumerate(plain.__closure__ or ())]
            defaults = [*(plain.__defaults__ or ()), *(plain.__kwdefaults__ or {}).items()]
            waiting += [(f"{name} default {n}", default) for n, default in enumerate(defaults)]
        else:
            waiting += [(f"{name} part {part}", one) for part, one in _parts(plain, is_own=name in _NAMED)]
    return [f"{name}: {text}" for name, text in sorted(found.items())]


def _parts(value: Any, *, is_own: bool) -> list[tuple[str, Any]]:
    """Return what decides the results of a callable that is not a plain function, each part with its name.

    Args:
        value: The callable, or any other value.
        is_own: Whether the contract names the callable, so that it counts whatever its module is.
    """
    if isinstance(value, partial):
        return [("function", value.func), ("arguments", value.args), ("keywords", value.keywords)]
    if isinstance(value, MethodType):
        return [("function", value.__func__), ("object", value.__self__)]
    if isinstance(value, BuiltinMethodType | MethodDescriptorType):  # such as `CODES.get` and `str.strip`
        owner = getattr(value, "__self__", None)
        if not is_own and not isinstance(owner, Mapping):
            return []
        return [("name", value.__qualname__), ("object", None if isinstance(owner, ModuleType) else owner)]
    if is_own or _is_ours(type(value).__module__):
        return [("class", type(value)), *([] if isinstance(value, type) else sorted(_fields(value).items()))]
    return []


def _fields(value: Any) -> dict[str, Any]:
    """Return the attributes of an object, those in slots included."""
    members = [
        name
        for each in type(value).__mro__
        for name, member in vars(each).items()
        if isinstance(member, MemberDescriptorType) and hasattr(value, name)
    ]
    return {name: getattr(value, name) for name in members} | getattr(value, "__dict__", {})


def _last_line(code: CodeType) -> int:
    """Return the last line of a function's source, with the functions inside it."""
    ends = [end or begin or 0 for begin, end, _, _ in code.co_positions()]
    return max([*ends, *(_last_line(inner) for inner in code.co_consts if isinstance(inner, CodeType))], default=0)


def _unwrapped(value: Any) -> tuple[Any, list[Any]]:
    """Return the function under its decorators, and the functions that decorators put around it."""
    wrappers: list[Any] = []
    while callable(value) and hasattr(value, "__wrapped__"):
        if isinstance(value, FunctionType):  # a copy has no `__wrapped__`, and its module is that of the decorator
            copy = FunctionType(value.__code__, value.__globals__, closure=value.__closure__)
            copy.__defaults__, copy.__kwdefaults__ = value.__defaults__, value.__kwdefaults__
            wrappers.append(copy)
        value = value.__wrapped__
    return value, wrappers


def _reached(name: str, value: Any, names: set[str]) -> Iterator[tuple[str, Any]]:
    """Yield a global value that a function uses, or what the function uses of a module of the project."""
    if not (isinstance(value, ModuleType) and _is_ours(value.__name__)):
        yield name, value
        return
    for one in sorted(names & vars(value).keys()):
        yield from _reached(f"{name}.{one}", vars(value)[one], names - {one})


def _is_ours(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] in _OURS


def _names(code: CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _text(value: Any) -> str:
    """Return a text that is the same in every process. An object of a library is represented by its name only."""
    if isinstance(value, FunctionType | type):
        return _code(value)
    if isinstance(value, _WITH_VALUE):
        return repr(value)
    if isinstance(value, Mapping):
        return str([(_text(key), _text(item)) for key, item in value.items()])
    if isinstance(value, list | tuple | set | frozenset):
        texts = [_text(item) for item in value]
        return str(sorted(texts) if isinstance(value, set | frozenset) else texts)
    return type(value).__qualname__


def _code(value: FunctionType | type) -> str:
    if not _is_ours(value.__module__) and isinstance(value, type):
        return value.__qualname__
    try:
        text = inspect.getsource(value)
        return _whole_lambda(text, value.__code__) if isinstance(value, FunctionType) else text
    except (OSError, TypeError):  # the source is not in a file
        return value.__code__.co_code.hex() if isinstance(value, FunctionType) else value.__qualname__


def _whole_lambda(text: str, code: CodeType) -> str:
    """Return the source of a function up to its last line. `inspect` ends that of a lambda at the first line end."""
    lines, first = inspect.findsource(code)
    last = _last_line(code)
    return text if last <= first + len(text.splitlines()) else "".join(lines[first:last])
