"""The number of rows that a dataset's objects usually have, and what an unusual number does."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Volume:
    """The bounds of an object's row count, and what a load outside the bounds does.

    `tasks.engine.load.volume_guard` computes the bounds from the dataset's last twelve objects.

    Attributes:
        factor: The ratio to the median of the last objects that is always allowed, in both directions; at least 1.
        min_rows: A fixed lower bound, which replaces the computed one. 0 allows an object without rows.
        max_rows: A fixed upper bound, which replaces the computed one.
        on_breach: `warn` loads the object and records a warning in the ledger. `fail` stops the load before its commit,
            unless the run has `force`.
    """

    factor: float = 2
    min_rows: int | None = None
    max_rows: int | None = None
    on_breach: Literal["warn", "fail"] = "warn"

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: A value is invalid.
        """
        if self.factor < 1:
            raise ValueError(f"expected a factor of at least 1, found {self.factor}")
        least, most = self.min_rows or 0, self.max_rows
        if least < 0 or (most is not None and most < least):
            raise ValueError(f"expected 0 <= min_rows <= max_rows, found {self.min_rows} and {most}")


USUAL = Volume()
"""The bounds of a contract that declares none."""
