"""Names of pipelines that are also words of the shared code: `shop`, `prices` and `access`."""

import ast
import re
from pathlib import Path

_LISTED = re.compile(r"(?m)^ordinary-words = \[(.*)\]$")


def with_ordinary_word(name: str, project: str, root: Path) -> str:
    """Return the text of pyproject.toml with the name in its list of ordinary words, if the shared code has the word.

    Args:
        name: Name of a new pipeline.
        project: Text of pyproject.toml.
        root: Folder of the project.
    """
    if name not in shared_words(root):
        return project
    return _LISTED.sub(
        lambda found: f"ordinary-words = [{', '.join(filter(None, [found[1], _quoted(name)]))}]", project
    )


def _quoted(name: str) -> str:
    return f'"{name}"'


def shared_words(root: Path) -> set[str]:
    """The words in names and texts of the shared modules; tests/unit/test_structure.py compares pipelines with them."""
    found: set[str] = set()
    folders = [*(root / name for name in ("flows", "tasks", "deployments")), root / "tests" / "support"]
    for path in [*(path for folder in folders for path in folder.rglob("*.py")), *root.glob("tests/**/conftest.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) else getattr(node, "id", getattr(node, "attr", None))
            if isinstance(text, str) and id(node) not in texts:
                found.update(re.split(r"[^a-z]+", text.lower()))
    return found
