"""Check the strings of a prefect.yaml: every template has a value, and no string contains a secret."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prefect.utilities.templating import PlaceholderType, find_placeholders

from tasks.engine.doctor.secrets import SECRET_PATTERN

ACTIONS = ("build", "push", "pull")
"""The sections with steps."""

_SECRET_NAME = re.compile(r"password|passwd|secret|token|api_?key|access_key|credential|_dsn$|^dsn$", re.IGNORECASE)


def references(config: Mapping[str, Any], root: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """Find templates without a value: unset variables, and outputs of unknown steps.

    Args:
        config: Content of a prefect.yaml.
        root: Folder of the file. A build argument with a default in the Dockerfile may be unset.
        environ: Environment of the deployment.

    Yields:
        One line for each error, beginning with its location.
    """
    ids = {inputs.get("id") for inputs in _all_inputs(config)}
    defaulted: set[str] = set()
    for inputs in _all_inputs(config):
        dockerfile = root / str(inputs.get("dockerfile", "Dockerfile"))
        if "buildargs" in inputs and dockerfile.is_file():
            # ${NAME:-default} also replaces an empty argument.
            defaulted |= set(re.findall(r"\$\{(\w+):-", dockerfile.read_text(encoding="utf-8")))
    for path, value in _strings(config):
        for reference in find_placeholders(value):
            name = reference.name.lstrip("$")
            if reference.type is PlaceholderType.ENV_VAR:
                if not environ.get(name) and not ("buildargs" in path and path[-1] in defaulted):
                    yield f"{'.'.join(path)}: expected {name} in the environment, found none: the value would be empty"
            elif reference.type is PlaceholderType.STANDARD and name.split(".")[0] not in {*ids, "ctx"}:
                yield f"{'.'.join(path)}: {reference.full_match} is not the output of a step: the value would be empty"


def secrets(config: Mapping[str, Any]) -> Iterator[str]:
    """Find secrets in plain text, by name or by pattern, and secrets that a deployment would store in plain text.

    A deployment replaces variables of the environment and blocks by their values, and the server stores the values.
    Only steps keep their templates.

    Yields:
        One line for each secret, beginning with its location, without the value.
    """
    for path, value in _strings(config):
        place = ".".join(path)
        filled_in = {p for p in find_placeholders(value) if p.type is not PlaceholderType.STANDARD}
        is_stored = path[0] in ("deployments", "definitions") and not set(path) & set(ACTIONS)
        if SECRET_PATTERN.search(value):
            yield f"{place}: a secret in plain text. Put it into a Prefect block"
        elif _SECRET_NAME.search(path[-1]) and value and not filled_in:
            yield f"{place}: the name suggests a secret in plain text. Put it into a Prefect block"
        elif is_stored and any(
            p.type is PlaceholderType.BLOCK_DOCUMENT or _SECRET_NAME.search(p.name) for p in filled_in
        ):
            yield f"{place}: the server would store {value} in plain text. Load the block in the run"


def secret_values(content: Mapping[str, Any]) -> Iterator[str]:
    """Find secrets in plain text by their pattern, and yield one line for each, without the value."""
    for path, value in _strings(content):
        if SECRET_PATTERN.search(value):
            yield f"{'.'.join(path)}: a secret in plain text. Refer to a secret instead"


def _all_inputs(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for section in (config, *(config.get("deployments") or [])):
        for action in ACTIONS:
            steps = section.get(action) or []
            for step in [steps] if isinstance(steps, Mapping) else steps:
                if isinstance(step, Mapping):
                    yield from (inputs for inputs in step.values() if isinstance(inputs, Mapping))


def _strings(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(item, (*path, str(key)))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _strings(item, (*path, str(number)))
