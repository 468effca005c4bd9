"""What the scaffold decides from a profile: names, key, partition, mart and schedule of a new pipeline."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from tasks.contracts import LINE_NUMBER, LOAD_ID, Contract
from tasks.engine.samples.columns import ColumnProfile
from tasks.engine.samples.contracts import proposed_contract
from tasks.engine.samples.partitions import KeyPattern, key_of
from tasks.engine.samples.profile import SampleProfile

NUMBERS = ("smallint", "integer", "bigint", "numeric", "real", "double precision")
MOST_MEASURES = 2
LONGEST_WORDS = 80
LONGEST_CONSTRAINT = 63
RECORD_NUMBER = "record_number"
_NO_MEASURE = re.compile(r"(^|_)(id|key|code|year|month|day|hour|minute|number|no|zip|lat\w*|lon\w*|index)(_|$)|_id$")


@dataclass(frozen=True)
class TableColumn:
    """A column of the core table.

    Attributes:
        name: Name.
        type: Type as SQL writes it.
        nullable: Whether the value may be missing.
        comment: Meaning, as far as the sample shows it.
    """

    name: str
    type: str
    nullable: bool
    comment: str


@dataclass(frozen=True)
class NewPipeline:
    """A pipeline that the scaffold writes.

    Attributes:
        name: Name of the pipeline, of its dataset and of its core table.
        profile: What the sample shows.
        pattern: The keys of the files.
        key: Columns that identify a row, without the partition's column; empty where line numbers identify it.
        bucket: Bucket of the files where it is not the lake's; else empty.
    """

    name: str
    profile: SampleProfile
    pattern: KeyPattern
    key: tuple[str, ...] = ()
    bucket: str = ""

    @property
    def title(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ")

    @property
    def grain(self) -> str:
        """The meaning of one row."""
        return f"one row of a file of {self.title}"

    @property
    def constant(self) -> str:
        """The name of the contract in Python."""
        return self.name.upper()

    @property
    def unit(self) -> str:
        """`month`, `day`, or empty for a dataset without partitions."""
        return self.pattern.unit or ""

    @property
    def flow(self) -> str:
        """Name of the flow's function and module."""
        return f"{self.name}_{_FLOWS[self.unit]}"

    @property
    def deployment(self) -> str:
        """Name of the flow and of its deployment."""
        return self.flow.replace("_", "-")

    @property
    def example(self) -> str:
        """The partition of the sample, such as 2021-04; empty without partitions."""
        day = self.pattern.example or date(2000, 1, 1)
        return {"month": f"{day:%Y-%m}", "day": f"{day}", "": ""}[self.unit]

    @property
    def object_key(self) -> str:
        """Key of the sample in the lake."""
        return self.pattern.prefix + (key_of(self.pattern) if self.unit else self.pattern.template)

    @property
    def file_name(self) -> str:
        """Name of the file with the sample of the tests."""
        suffix = self.pattern.template.rpartition("/")[2].partition(".")[2]
        return f"{self.name}.{suffix}" if suffix else self.name

    @cached_property
    def contract(self) -> Contract:
        """The contract of the staging table, without the names of its objects."""
        return proposed_contract(self.profile)

    @cached_property
    def has_line_key(self) -> bool:
        """Whether the load and the line number identify the rows of the core table."""
        return (
            not self.key or len(self.constraint(self.table, self.key_columns_of(self.key), "pk")) > LONGEST_CONSTRAINT
        )

    @property
    def is_numbered(self) -> bool:
        """Whether the query numbers the records: several records of a JSON document may begin in one line."""
        return self.has_line_key and self.profile.format == ".json"

    @property
    def table(self) -> str:
        """Name of the core table."""
        return self.name

    @property
    def core_key(self) -> tuple[str, ...]:
        """Key of the core table."""
        by_line = (RECORD_NUMBER,) if self.is_numbered else (LOAD_ID, LINE_NUMBER)
        return self.key_columns_of(by_line if self.has_line_key else self.key)

    def key_columns_of(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Columns of a key, with the partition's column first."""
        return (*([self.unit] if self.unit else []), *columns)

    @staticmethod
    def constraint(table: str, columns: Sequence[str], suffix: str) -> str:
        """Name of a constraint, as the lint of the SQL files expects it."""
        return "_".join((table, *columns, suffix))

    @cached_property
    def columns(self) -> list[TableColumn]:
        """The columns of the core table that the file delivers."""
        return [
            TableColumn(
                column.name,
                column.type.postgres.replace(",", ", "),
                column.name not in self.key,
                comment_of(profiled),
            )
            for column, profiled in zip(self.contract.columns, self.profile.columns, strict=True)
        ]

    @cached_property
    def dimension(self) -> ColumnProfile | None:
        """The column by which the mart counts rows: few values, and most rows have one."""
        fitting = [column for column in self.profile.columns if self._is_dimension(column)]
        fitting.sort(key=lambda column: (_KINDS.index(column.kind.name), column.null_count))
        return fitting[0] if fitting else None

    def _is_dimension(self, column: ColumnProfile) -> bool:
        is_short = column.longest <= 60 and not column.is_sensitive and column.kind.name in _KINDS
        few = min(max(self.profile.row_count // 2, 2), 400)
        is_few = 2 <= column.distinct_count <= few and column.null_count <= column.row_count / 2
        table = f"{self.name}_by_{column.name}"
        fits = len(self.constraint(table, self.key_columns_of((column.name,)), "pk")) <= LONGEST_CONSTRAINT
        return is_short and is_few and fits and self.key != (column.name,)

    @property
    def mart(self) -> str:
        """Name of the mart."""
        return f"{self.name}_by_{self.dimension.name}" if self.dimension else f"{self.name}_totals"

    @property
    def mart_key(self) -> tuple[str, ...]:
        """Key of the mart."""
        if self.dimension:
            return self.key_columns_of((self.dimension.name,))
        return (self.unit,) if self.unit else ("dataset",)

    @cached_property
    def measures(self) -> list[ColumnProfile]:
        """The columns whose average the mart shows."""
        found = [
            column
            for column in self.profile.columns
            if column.kind.name in NUMBERS
            and column not in (self.dimension,)
            and column.name not in self.key
            and not _NO_MEASURE.search(column.name)
            and column.distinct_count > 2
            and len(column.name) < 45
        ]
        return found[:MOST_MEASURES]


_FLOWS = {"month": "monthly", "day": "daily", "": "snapshot"}
_KINDS = ("text", "boolean", "date", "smallint", "integer")


def comment_of(column: ColumnProfile) -> str:
    """The meaning of a column, as far as the file shows it: the name that the supplier gave it."""
    words = re.sub(r"[^\w%€$£°#&().,/+-]+", " ", re.sub(r"_+", " ", column.source)).strip() or column.name
    words = words.replace("'", "")[:LONGEST_WORDS].strip()
    return f"{words[:1].upper()}{words[1:]} as delivered"


def code_of(value: str) -> str:
    """A text as Python code, with double quotation marks."""
    written = repr(value)
    return written if '"' in value else '"' + written[1:-1].replace("\\'", "'") + '"'
