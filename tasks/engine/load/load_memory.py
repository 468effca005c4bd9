"""The memory of loads that run side by side: how many there may be, and the share of each."""

from tasks.engine.settings import PROCESS_MB, RunSettings

LOAD_SHARE_MB, MOST_LOADS = 60, 4
"""Memory that a load needs to run beside other loads of its run, and the maximum number of loads side by side."""


def most_loads_at_once(settings: RunSettings) -> int:
    """Return how many objects a run loads side by side. Together they stay within `LOAD_MEMORY_MB`."""
    return min(max((settings.load_memory_mb - PROCESS_MB) // LOAD_SHARE_MB, 1), MOST_LOADS)


def settings_of_each_load(settings: RunSettings, loads: int) -> RunSettings:
    """Return the settings of one of several loads that run side by side and share `LOAD_MEMORY_MB`."""
    if loads == 1:
        return settings
    share = (settings.load_memory_mb - PROCESS_MB) // loads
    return settings.model_copy(update={"load_memory_mb": PROCESS_MB + share})
