"""The files of runs in one bucket: written once under the run's number, marked when complete, moved when processed.

    input/{run_number}/{table}.{kind}     a file of a run; never overwritten
    input/{kind}_export_completed.txt     number of the latest complete run
    processed/{run_number}/{table}.{kind} a processed file
    processed/{kind}_processed.txt        names of all processed files, one per line
    run_number.txt                        in the CSV store: number of the latest complete run

Only the text files are ever overwritten. The caller holds the pipeline's lock.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from tasks.engine.errors import BalanceError
from tasks.engine.lake.client import Lake, StoredObject
from tasks.engine.lake.write_once import find_object, move_object, write_new

Folder = Literal["input", "processed"]

LATEST_RUN = "run_number.txt"
"""Key in the CSV store that holds the number of the latest complete run."""

_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


@dataclass(frozen=True)
class RunStore:
    """One of the two stores.

    Attributes:
        lake: Bucket of the store.
        kind: Format of the files.
    """

    lake: Lake
    kind: Literal["csv", "parquet"]

    def write(self, run_number: int, table: str, blocks: Iterable[bytes]) -> StoredObject:
        """Stream a table's file of a run to the store.

        Raises:
            ObjectExistsError: The file exists already.
        """
        return write_new(self.lake, self.key(run_number, table), blocks, _TYPES[self.kind])

    def key(self, run_number: int, table: str, folder: Folder = "input") -> str:
        """Key of a table's file of a run."""
        return f"{folder}/{run_number}/{table}.{self.kind}"

    def files(self, run_number: int, folder: Folder = "input") -> dict[str, StoredObject]:
        """Files of a run, by table."""
        prefix, suffix = f"{folder}/{run_number}/", f".{self.kind}"
        found = {stored.key.removeprefix(prefix): stored for stored in self.lake.list(prefix)}
        return {name.removesuffix(suffix): stored for name, stored in found.items() if name.endswith(suffix)}

    def mark_complete(self, run_number: int) -> None:
        """Mark a run as complete: all its files are in the store."""
        self._write_text(self._marker, str(run_number))
        if self.kind == "csv":
            self._write_text(LATEST_RUN, str(run_number))

    def is_marked(self, run_number: int) -> bool:
        """Whether this run is the latest complete run."""
        return self.latest_run() == run_number

    def latest_run(self) -> int:
        """Number of the latest complete run; 0 without a complete run."""
        return int(self._text(self._marker) or 0)

    def abort_uploads(self, run_number: int) -> None:
        """Remove the parts of unfinished uploads of a killed run."""
        for folder in ("input", "processed"):
            self.lake.abort_uploads(f"{folder}/{run_number}/")

    def move_processed(self, run_number: int, tables: Collection[str]) -> None:
        """Move the remaining files of a run, and list all moved files. The call may be repeated.

        Raises:
            BalanceError: A file of the run is missing after the move.
        """
        self.lake.abort_uploads(f"processed/{run_number}/")
        for table, stored in self.files(run_number).items():
            move_object(self.lake, stored, self.key(run_number, table, "processed"))
        moved = self.files(run_number, "processed")
        if missing := set(tables) - moved.keys():
            raise BalanceError(
                f"{self.lake.uri(f'processed/{run_number}/')}: expected the files of {', '.join(sorted(tables))};"
                f" missing: {', '.join(sorted(missing))}. Another program removed files. Restore them and run again"
            )
        log = f"processed/{self.kind}_processed.txt"
        before = self._text(log)
        lines = {*before.splitlines(), *(f"{run_number}/{table}.{self.kind}" for table in moved)}
        if (text := "".join(f"{line}\n" for line in sorted(lines, key=_by_run))) != before:
            self._write_text(log, text)

    @property
    def _marker(self) -> str:
        return f"input/{self.kind}_export_completed.txt"

    def _write_text(self, key: str, text: str) -> None:
        self.lake.write(key, iter([text.encode()]), "text/plain; charset=utf-8")

    def _text(self, key: str) -> str:
        stored = find_object(self.lake, key)
        return b"".join(self.lake.read(key, stored.version)).decode() if stored else ""


def _by_run(line: str) -> tuple[int, str]:
    number, _, name = line.partition("/")
    return (int(number) if number.isdecimal() else 0, name)
