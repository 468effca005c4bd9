"""Find the modules of a package that assign a name, such as `PIPELINE`, without an import of the other modules."""

import ast
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType


def declaring_modules(package: ModuleType, name: str) -> Iterator[str]:
    """Yield the names of the modules that assign a name at their top level, in alphabetical order."""
    for file in sorted(path for folder in package.__path__ for path in Path(folder).glob("*.py")):
        for statement in ast.parse(file.read_bytes()).body:
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                yield file.stem
