"""Matching an object's columns against a contract: by name, in any order, with declared aliases."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.contracts import Contract
from tasks.engine.errors import ContractError
from tasks.engine.masking import masked_name, masked_names, may_show_names
from tasks.engine.quoting import VALUE_LIMIT, listed, shown

COMPARED = 200
"""Maximum number of unknown columns that are compared with a missing column to suggest a name."""


@dataclass(frozen=True)
class ColumnMatch:
    """The positions of the contract's sources in an object.

    Attributes:
        positions: Index of each source in the object.
        names: All columns of the object in its order. Names of undeclared columns are made printable and short.
        unknown: Columns of the object that the contract does not declare. They are not loaded.
    """

    positions: dict[str, int]
    names: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def width(self) -> int:
        """Number of columns of the object."""
        return len(self.names)


def match_columns(contract: Contract, found: Sequence[str], name: str) -> ColumnMatch:
    """Match the columns of an object with a contract.

    Args:
        contract: The expected columns.
        found: Column names in the order of the object.
        name: The object, for the message.

    Raises:
        ContractError: A column is missing or duplicated, or the contract forbids unknown columns and one is present.
    """
    positions: dict[str, int] = {}
    missing = []
    for source, aliases in contract.sources.items():
        places = [index for index, column in enumerate(found) if column in (source, *aliases)]
        if len(places) > 1:
            raise ContractError(
                f"{name}: the header names column {source} {len(places)} times ({masked_names(contract, found)});"
                f" expected it once (as {' or '.join((source, *aliases))}). Correct the object"
            )
        if places:
            positions[source] = places[0]
        else:
            missing.append(source)
    unknown = tuple(column for index, column in enumerate(found) if index not in positions.values())
    if missing:
        compared = [column[:VALUE_LIMIT] for column in unknown[:COMPARED]]  # many or long names would take minutes
        compared = compared if may_show_names(contract, found) else []
        nearest = {m: nearest_name(m, compared) for m in missing}
        hints = "; ".join(f"{m} may be {masked_name(contract, near)}" for m, near in nearest.items() if near)
        listed_names = masked_names(contract, found)
        raise ContractError(
            f"{name}: missing {', '.join(missing)}; expected {', '.join(contract.sources)};"
            f" found {listed_names or 'no columns'}{'; ' + hints if hints else ''}."
            f" Correct the object, or declare an alias in the contract of {contract.dataset}"
        )
    if unknown and contract.unknown_columns == "fail":
        raise ContractError(
            f"{name}: unknown {listed(masked_name(contract, one) for one in unknown)}; expected only"
            f" {', '.join(contract.sources)}."
            f' Add them to the contract of {contract.dataset}, or set its unknown_columns to "warn"'
        )
    # The ledger and logs cannot store every character that a column name in an object may contain.
    names = tuple(column if index in positions.values() else shown(column) for index, column in enumerate(found))
    return ColumnMatch(positions, names, tuple(masked_name(contract, column) for column in unknown))


def nearest_name(name: str, found: Sequence[str]) -> str:
    """Return the name that resembles a name most, in upper or lower case. Return an empty text if none does."""
    written = {one.casefold(): one for one in reversed(found)}
    return next((written[near] for near in difflib.get_close_matches(name.casefold(), written, n=1)), "")
