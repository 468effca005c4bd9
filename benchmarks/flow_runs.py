"""Contestants that are deployed flow runs, and the flows without a step that they are compared with."""

import sys
from typing import Any

from benchmarks.case import Contestant, program

ENGINE = program(sys.executable, "-m", "prefect.engine")
"""The command that a worker starts for a flow run. A variable holds the run's id."""

EMPTY_FLOW = Contestant("empty flow", "a flow without a step, which may end before its heartbeats", ENGINE, "prefect")
BRIEF_FLOW = Contestant("brief flow", "waits 0.1 s; its end waits for the heartbeats, as any run", ENGINE, "prefect")

FLOWS: dict[str, tuple[str, dict[str, Any]]] = {
    "empty flow": ("benchmarks.empty_flow.empty", {}),
    "brief flow": ("benchmarks.empty_flow.brief", {}),
}
"""The entry point and the parameters of each flow without a step."""
