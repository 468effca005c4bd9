"""Write results: a table for the terminal, `bench.json`, `bench.md` and the pictures."""

import json
import os
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.comparison import growth
from benchmarks.measure import Outcome, Result, outcome_of

PACKAGES = ("polars", "psycopg", "pyarrow", "boto3", "prefect", "ministack")
SETTINGS = ("data_checksums", "fsync", "max_wal_size", "shared_buffers", "wal_level", "wal_writer_delay")
HARDWARE = ("processor", "cores", "memory_gb", "system")
_SETTINGS = "SELECT name, current_setting(name) FROM unnest(%s::text[]) name"

_HEAD = """# Benchmark results

`make bench KEEP=docs` writes this page, `bench.json` and the pictures.
[Performance](performance.md) explains the rules and what follows from the figures.

The contestants of a case take turns. Each run is a process of its own, and all contestants of a case must leave the
same state. The figures are medians, except the peak memory. CPU is in seconds: of the process, and meanwhile of all
processes of Postgres and of the local S3 server, which works on the same cores. The ratio is the time in times of the
contestant with the ratio 1.00; less is better.
"""


def machine(dsn: str) -> dict[str, Any]:
    """Describe this machine, the Postgres server with the settings that affect speed, and the package versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    with psycopg.connect(dsn) as connection:
        settings = dict(connection.execute(_SETTINGS, [list(SETTINGS)]).fetchall())
        server = connection.info.parameter_status("server_version")
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "postgres": server,
        "settings": settings,
        "packages": {name: version(name) for name in PACKAGES},
    }


def described(facts: Mapping[str, Any]) -> str:
    """Format the description of the machine as three lines of text."""
    packages = ", ".join(f"{name} {number}" for name, number in facts["packages"].items())
    settings = ", ".join(f"{name} {value}" for name, value in facts["settings"].items())
    return (
        f"{facts['cores']} x {facts['processor']}, {facts['memory_gb']} GB, {facts['system']},"
        f" PostgreSQL {facts['postgres']}, Python {facts['python']}\n{settings}\n{packages}"
    )


def read_kept(folder: Path) -> dict[str, Any]:
    """Return the kept parts: for each, `machine`, `rounds` and `cases`."""
    file = folder / "bench.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


def keep(folder: Path, outcome: Outcome, facts: Mapping[str, Any], rounds: int) -> None:
    """Write an outcome to `bench.json`, and the page and the pictures of all kept parts. Other cases stay."""
    folder.mkdir(exist_ok=True)
    kept = read_kept(folder)
    part = kept.setdefault(outcome.address.partition("/")[0], {"cases": {}})
    part["machine"], part["rounds"] = facts, rounds
    part["cases"][outcome.address] = outcome.facts()
    (folder / "bench.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    (folder / "bench.md").write_text("\n".join(_page(kept)), encoding="utf-8")
    for name, part in kept.items():
        _draw(folder / f"bench-{name}.svg", name, [outcome_of(one) for one in part["cases"].values()])


def _columns(outcome: Outcome, result: Result) -> list[str]:
    ratio = outcome.ratio(result)
    return [
        result.name,
        f"{result.seconds:.2f}",
        f"{ratio:.2f}" if ratio else "",
        f"{result.cpu_seconds:.2f}",
        f"{result.server_cpu_seconds:.2f}",
        "" if result.s3_cpu_seconds is None else f"{result.s3_cpu_seconds:.2f}",
        f"{result.peak_mb:.0f}",
        f"{result.busy:.0%}",
    ]


_NAMES = ["", "seconds", "ratio", "CPU", "CPU of Postgres", "CPU of S3", "peak MB", "cores busy"]


def title_of(outcome: Outcome, size: int) -> str:
    """Return the title of a case with its size."""
    title = outcome.title.replace("{size}", f"{size:,}")
    return title[0].upper() + title[1:]


def table(outcome: Outcome) -> Iterator[str]:
    """Yield the lines of a text table, one for each contestant and size."""
    for size in outcome.sizes:
        yield f"\n{outcome.address}: {title_of(outcome, size)}"
        yield f"{'':20}" + "".join(f"{name:>17}" for name in _NAMES[1:])
        for result in (one for one in outcome.results if one.size == size):
            first, *others = _columns(outcome, result)
            yield f"{first:20}" + "".join(f"{text:>17}" for text in others)
    yield from outcome.missing


def _page(kept: Mapping[str, Any]) -> Iterator[str]:
    yield _HEAD
    for name, part in sorted(kept.items()):
        yield f"## {name.capitalize()}\n"
        yield f"![{name}](bench-{name}.svg)\n"
        yield described(part["machine"]).replace("\n", ". ") + f". Rounds: {part['rounds']}.\n"
        for outcome in map(outcome_of, part["cases"].values()):
            yield from _section(outcome)


def _section(outcome: Outcome) -> Iterator[str]:
    for size in outcome.sizes:
        yield f"### {title_of(outcome, size)}\n"
        yield "| " + " | ".join([*_NAMES, "does"]) + " |"
        yield "| --- |" + " ---: |" * (len(_NAMES) - 1) + " --- |"
        for result in (one for one in outcome.results if one.size == size):
            does = result.does + (f" ({result.version})" if result.version else "")
            yield "| " + " | ".join([*_columns(outcome, result), does]) + " |"
        yield ""
    yield from (f"- {line}" for line in growth(outcome))
    yield from (f"- {line}" for line in outcome.missing)
    yield ""


def _draw(file: Path, part: str, outcomes: list[Outcome]) -> None:
    grown = [outcome for outcome in outcomes if len(outcome.sizes) > 1 and outcome.grows != "divided"]
    file.write_bytes(_growth_chart(grown) if grown else _bars(part, outcomes))


def _bars(part: str, outcomes: list[Outcome]) -> bytes:
    """A bar for each contestant, with its seconds. Tally's bars have another colour."""
    from pygal import HorizontalStackedBar

    rows = [
        (f"{outcome.address.partition('/')[2]}: {one.name}", one) for outcome in outcomes for one in outcome.results
    ]
    chart = HorizontalStackedBar(title=f"{part}: seconds, less is better", **_options(100 + 26 * len(rows)))
    chart.x_labels = [label for label, _ in reversed(rows)]
    for name, is_own in (("Tally", True), ("alternatives", False)):
        chart.add(name, [one.seconds if one.is_own == is_own else None for _, one in reversed(rows)])
    return _rendered(chart)


def _growth_chart(outcomes: list[Outcome]) -> bytes:
    """CPU time of a unit and peak memory at each size, as multiples of those at the smallest size.

    A flat line of CPU time is linear growth of the work.
    """
    from pygal import Line

    def per_unit(result: Result) -> float:
        return result.all_cpu_seconds / result.size

    most = max(len(outcome.sizes) for outcome in outcomes)
    chart = Line(title="CPU of a unit and peak memory, in times of the smallest size", **_options(480))
    chart.x_labels = ["smallest", *[f"step {number}" for number in range(2, most)], "largest"]
    for outcome in outcomes:
        found = [one for one in outcome.results if one.is_own]
        name = outcome.address.partition("/")[2]
        chart.add(f"{name}: CPU", [per_unit(one) / per_unit(found[0]) for one in found])
        dashed = {"dasharray": "4, 4"}
        chart.add(f"{name}: memory", [one.peak_mb / found[0].peak_mb for one in found], stroke_style=dashed)
    chart.range = (0, 2)
    return _rendered(chart)


def _options(height: int) -> dict[str, Any]:
    from pygal.style import Style

    style = Style(
        background="#ffffff", plot_background="#ffffff", font_family="sans-serif", value_font_size=11, opacity="1"
    )
    return {"style": style, "width": 900, "height": height, "js": [], "print_values": height != 480, "show_dots": True}


def _rendered(chart: Any) -> bytes:
    chart.value_formatter = lambda value: f"{value:.2f}" if value else ""  # a stack has a bar for each of its parts
    chart.uuid = "bench"  # the same values give the same bytes
    return bytes(chart.render())
