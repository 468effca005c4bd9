"""No modules import each other in a circle, not even for type annotations."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("flows", "tasks", "deployments", "benchmarks")


def imported(text: str, modules: set[str]) -> Iterator[str]:
    """Yield the modules of the project that a module imports."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                member = f"{node.module}.{alias.name}"
                found = member if member in modules else str(node.module)
                if found in modules:
                    yield found


def circle(texts: dict[str, str]) -> list[str]:
    """Return the modules of one circle of imports, or an empty list."""
    graph = {module: set(imported(text, set(texts))) for module, text in texts.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    texts = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path.read_text("utf-8")
        for path in paths
    }
    assert circle(texts) == []


@pytest.mark.parametrize(
    "back", ["import first", "from first import Name", "if TYPE_CHECKING:\n    from first import Name"]
)
def test_circle_is_found(back: str) -> None:
    assert set(circle({"first": "from second import Name", "second": back})) == {"first", "second"}


def test_one_direction_is_not_a_circle() -> None:
    assert circle({"package": "", "package.first": "from package import second", "package.second": "import json"}) == []
