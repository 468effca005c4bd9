"""Format the results as a table, as JSON and as a chart."""

import base64
import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.processes import Measured

PACKAGES = ("polars", "psycopg", "pyarrow", "boto3", "prefect", "ministack")
SETTINGS = ("data_checksums", "fsync", "max_wal_size", "shared_buffers", "wal_level", "wal_writer_delay")
_SETTINGS = "SELECT name, current_setting(name) FROM unnest(%s::text[]) name"


@dataclass(frozen=True)
class Result:
    """The results of a tool.

    Attributes:
        name: The name of the tool.
        does: The description of the tool.
        rows: The number of rows in the file.
        seconds: The time of each round.
        peak_mb: The highest peak memory of all rounds.
        cpu_seconds: The median CPU time.
        version: The version of the tool's package.
    """

    name: str
    does: str
    rows: int
    seconds: list[float]
    peak_mb: float
    cpu_seconds: float
    version: str | None = None

    @property
    def median(self) -> float:
        """The median time in seconds."""
        return statistics.median(self.seconds)

    @property
    def rows_per_second(self) -> float:
        """The rows per second of the median round."""
        return self.rows / self.median


def result_of(name: str, does: str, rows: int, rounds: Sequence[Measured], version_: str | None = None) -> Result:
    """Combine the rounds of a tool."""
    return Result(
        name,
        does,
        rows,
        [round(measured.seconds, 3) for measured in rounds],
        round(max(measured.peak_mb for measured in rounds), 1),
        round(statistics.median(measured.cpu_seconds for measured in rounds), 3),
        version_,
    )


def ratio(result: Result, base: Result) -> float:
    """Return the rows per second relative to `base`."""
    return result.rows_per_second / base.rows_per_second


def table(results: Sequence[Result], base: Result) -> str:
    """Format the results as a text table, the fastest first."""
    lines = [
        f"{'':18} {'rows':>10} {'median s':>9} {'min':>7} {'max':>7} {'rows/s':>9} {'x ' + base.name:>7} {'CPU s':>6}"
        f" {'peak MB':>8}"
    ]
    for found in sorted(results, key=lambda result: -result.rows_per_second):
        lines.append(
            f"{found.name:18} {found.rows:10,} {found.median:9.2f} {min(found.seconds):7.2f} {max(found.seconds):7.2f}"
            f" {found.rows_per_second:9,.0f} {ratio(found, base):7.2f} {found.cpu_seconds:6.1f} {found.peak_mb:8.0f}"
        )
    width = max(len(found.name) for found in results)
    lines += ["", *(f"{found.name:{width}}  {found.version or '':9} {found.does}" for found in results)]
    return "\n".join(lines)


def facts_of(results: Sequence[Result], base: Result) -> list[dict[str, Any]]:
    """Return the results as dictionaries for JSON."""
    return [
        asdict(found) | {"median": round(found.median, 3), f"times_{base.name}": round(ratio(found, base), 3)}
        for found in results
    ]


def machine(connection: psycopg.Connection) -> dict[str, Any]:
    """Describe this machine, the Postgres server with the settings that affect speed, and the package versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "postgres": connection.info.parameter_status("server_version"),
        "settings": dict(connection.execute(_SETTINGS, [list(SETTINGS)]).fetchall()),
        "packages": {name: version(name) for name in PACKAGES},
    }


def described(facts: dict[str, Any]) -> str:
    """Format the description of the machine as three lines of text."""
    packages = ", ".join(f"{name} {number}" for name, number in facts["packages"].items())
    settings = ", ".join(f"{name} {value}" for name, value in facts["settings"].items())
    return (
        f"{facts['cores']} x {facts['processor']}, {facts['memory_gb']} GB, {facts['system']},"
        f" PostgreSQL {facts['postgres']}, Python {facts['python']}\n{settings}\n{packages}"
    )


def keep(folder: Path, section: str, facts: dict[str, Any]) -> None:
    """Write a section to `bench.json` in the folder. Other sections stay unchanged."""
    folder.mkdir(exist_ok=True)
    file = folder / "bench.json"
    kept = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(kept | {section: facts}, indent=2) + "\n", encoding="utf-8")


def draw(folder: Path, results: Sequence[Result], base: Result) -> None:
    """Write the chart `bench.svg`, with rows per second, to the folder."""
    from tasks.engine.export.charts import bar_chart

    ranked = sorted(results, key=lambda result: -result.rows_per_second)
    values = [
        (f"{found.name} ({ratio(found, base):.2f} x)", round(found.rows_per_second / 1000, 1)) for found in ranked
    ]
    image = bar_chart(f"Thousand rows per second loaded into Postgres ({base.name} = 1 x)", values)
    (folder / "bench.svg").write_bytes(base64.b64decode(image.partition("base64,")[2].removesuffix(")")))
