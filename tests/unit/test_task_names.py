"""The names of task runs: for people, with parameters that the task has."""

import ast
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

TASKS = Path(__file__).parents[2] / "tasks"


def steps() -> Iterator[tuple[str, ast.FunctionDef, str]]:
    """Yield the module, the function and the name template of each step."""
    for path in sorted(TASKS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for decorator in getattr(node, "decorator_list", []):
                if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "step":
                    assert isinstance(node, ast.FunctionDef)
                    yield path.stem, node, ast.literal_eval(decorator.keywords[0].value)


def test_name_of_each_task_run_uses_parameters_of_the_task() -> None:
    found = list(steps())
    assert len(found) > 20
    for module, function, template in found:
        known = {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}
        fields = {name.split(".")[0] for _, name, _, _ in Formatter().parse(template) if name}
        assert fields <= known, (module, function.name)
        assert function.name not in template, (module, function.name)
