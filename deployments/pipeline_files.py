"""Print the files and folders that belong to one pipeline: `python -m deployments.pipeline_files parcels`.

A file or a folder belongs to a pipeline if it has the pipeline's name or begins with it: `parcels`,
`parcels_daily.py`, `test_parcels_daily.py`. The schemas under `sql/` that derive from the pipeline's staging tables
belong to it too, with their cases.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.engine.schema.rights import pipelines

ROOT = Path(__file__).resolve().parents[1]
SHARED_SQL = re.compile(r"tests/support/\w+_sql$")
"""Folders with the tables of shared tests, which may be named as a pipeline is."""

IGNORED = re.compile(r"[.]|__pycache__$")


def files_of(pipeline: str, schemas: Sequence[str], root: Path = ROOT) -> list[Path]:
    """Return the topmost files and folders of a pipeline, relative to the project.

    Args:
        pipeline: Name of the pipeline.
        schemas: Schemas that derive from its staging tables.
        root: Folder of the project.
    """
    named = re.compile(rf"(test_)?{re.escape(pipeline)}([_.].*)?")
    by_schema = {root / "sql", root / "tests" / "sql_cases"}

    def found(folder: Path) -> Iterator[Path]:
        for path in sorted(folder.iterdir()):
            if IGNORED.match(path.name):
                continue
            if named.fullmatch(path.name) or (folder in by_schema and path.name in schemas):
                yield path.relative_to(root)
            elif path.is_dir() and folder not in by_schema and not SHARED_SQL.match(str(path.relative_to(root))):
                yield from found(path)

    return [*found(root)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the paths of a pipeline, one in each line; return 1 if no contract belongs to such a pipeline."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.pipeline_files", description=(__doc__ or "").split(":", maxsplit=1)[0]
    )
    parser.add_argument("pipeline", help="name of the pipeline")
    name = parser.parse_args(arguments).pipeline
    known = pipelines()
    if name not in known:
        print(f"expected a pipeline of {', '.join(known) or 'none'}, found {name}", file=sys.stderr)
        return 1
    print("\n".join(map(str, files_of(name, known[name].schemas))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
