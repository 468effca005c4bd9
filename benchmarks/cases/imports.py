"""Imports of the flows, compared with the import of Prefect alone."""

import re
import sys
from pathlib import Path

import flows
from benchmarks.case import Case, Contestant, program

FOLDER = Path(flows.__path__[0])
NAMES = [
    path.stem
    for path in sorted(FOLDER.glob("*.py"))
    if re.search("PIPELINES? = |load_|extract_", path.read_text("utf-8"))
]
"""The flows that load, and the backfill."""


CASES = (
    Case(
        "imports",
        "flows",
        "import of the flows that load",
        (1,),
        lambda *_: None,
        (
            Contestant(
                "prefect",
                "`from prefect import flow, task`",
                program(sys.executable, "-c", "from prefect import flow, task"),
            ),
            *(
                Contestant(
                    f"tally {name}", f"`import flows.{name}`", program(sys.executable, "-c", f"import flows.{name}")
                )
                for name in NAMES
            ),
        ),
        "prefect",
        unit="imports",
        is_scaled=False,
    ),
)
