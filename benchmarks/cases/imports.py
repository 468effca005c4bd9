"""Imports of the flows, compared with the import of Prefect alone."""

import pkgutil
import sys

import flows
from benchmarks.case import Case, Contestant, program

NAMES = sorted(found.name for found in pkgutil.iter_modules(flows.__path__))


CASES = (
    Case(
        "imports",
        "flows",
        "import of each flow",
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
