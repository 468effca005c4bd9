"""The types of work pools: their names, their job templates, and prefect.yaml as each of them needs it.

Docker and process pools use the job template of Prefect's worker. The templates of Kubernetes and ECS are data files in
`deployments/pools/`, so that registering such a pool does not require its worker.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import jsonschema
from prefect.utilities.importtools import import_object
from prefect.utilities.templating import find_placeholders

from deployments import yaml_text
from deployments.lint_values import secret_values
from tasks.contracts import catalog
from tasks.engine.settings import RunSettings

Pool = Literal["docker", "process", "kubernetes", "ecs"]

POOLS: dict[Pool, str] = {pool: f"tally-{pool}" for pool in get_args(Pool)}
"""The project's work pools: their names by type."""

_WORKERS: dict[Pool, str] = {
    "docker": "prefect_docker.worker.DockerWorker",
    "process": "prefect.workers.process.ProcessWorker",
}
"""Prefect's workers whose templates are used. A search by type would import every installed integration."""

IMAGE_VARIABLE = "TALLY_IMAGE"
"""The variable with the image's name in a registry. A name with a tag or digest is that of an existing image."""

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(__file__).with_name("pools")
_HOME = "/home/tally/.prefect"
_AWS_NAMES = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_REGION")


class WorkPoolError(ValueError):
    """The environment lacks a setting of the work pool, or a setting has an invalid value."""


def has_blocks(pool: Pool) -> bool:
    """Whether runs of the pool read addresses and secrets from Prefect blocks.

    Runs of other pools read addresses from their variables, and secrets by reference.
    """
    return not _file_of(pool).exists()


def job_template(pool: Pool, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the base job template of a work pool, with the defaults of this installation.

    The variables of each run are the settings of `RunSettings` and of the pipelines that are set in `environ`. A pool
    without blocks also gets the names of the lake and of the sources' secrets. For Docker, `TALLY_NETWORKS` names
    networks, separated by commas. The template must not contain secrets, because every user of the server can read it.

    Raises:
        WorkPoolError: A setting of the pool is missing or invalid.
    """
    template = _template(pool)
    variables = template["variables"]["properties"]
    names = [*(name.upper() for name in RunSettings.model_fields), *catalog.settings()]
    if not has_blocks(pool):
        names += ["LAKE_BUCKET", *(source.secret_variable for source in catalog.sources().values()), *_AWS_NAMES]
    variables["env"]["default"] = {name: environ[name] for name in names if environ.get(name)}
    if pool != "process":
        # Otherwise the container gets the worker's PREFECT_HOME, which the container's user cannot write to.
        variables["env"]["default"]["PREFECT_HOME"] = _HOME
    networks = _words(environ.get("TALLY_NETWORKS", ""))
    if pool == "docker" and networks:
        variables["networks"]["default"] = networks
    if not has_blocks(pool):
        _apply_settings(pool, variables, environ)
    return template


def job_variables(pool: Pool) -> dict[str, Any]:
    """The JSON schemas of the job variables of a work pool, by name."""
    properties: dict[str, Any] = _template(pool)["variables"]["properties"]
    return properties


def onto_pool(config: Mapping[str, Any], pool: Pool, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return prefect.yaml for a type of work pool: with its name, its image and the job variables that it knows.

    Args:
        config: Content of prefect.yaml, which names the Docker pool.
        pool: The type of the pool.
        environ: The environment, with `TALLY_IMAGE` for an image in a registry.

    Raises:
        WorkPoolError: The pool needs `TALLY_IMAGE`, and the environment does not contain it.
    """
    known = job_variables(pool)
    moved = {key: value for key, value in config.items() if key != "definitions"}
    changes: dict[str, Any] = {}
    if pool == "process":
        del moved["build"], moved["push"]
        # A process worker runs on this machine and uses this copy of the code.
        moved["pull"] = [{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}]
    elif image := environ.get(IMAGE_VARIABLE, "").strip():
        moved |= _image_in_registry(config, image)
        changes["image_pull_policy"] = "Always"
        if _is_complete(image):
            changes["image"] = image
    elif pool != "docker":
        raise WorkPoolError(
            f"expected {IMAGE_VARIABLE} in the environment, found none: a {pool} pool needs an image in a registry. "
            f"Set it to the repository, such as registry.example.com/tally, or to an image with its tag"
        )
    moved["deployments"] = [_moved(deployment, pool, changes, known) for deployment in config["deployments"]]
    return moved


def errors() -> Iterator[str]:
    """Find errors in the files of `deployments/pools/`, one line each, beginning with the file's name."""
    for pool in POOLS:
        file = _file_of(pool)
        if not file.exists():
            continue
        content, known = _content(pool), job_variables(pool)
        used = {found.name for found in find_placeholders(content["job_configuration"])}
        yield from (f"{file.name}: the template uses the unknown variable {name!r}" for name in used - known.keys())
        yield from (f"{file.name}: variable {name!r} is used nowhere" for name in known.keys() - used)
        for setting, target in content["settings"].items():
            if target["sets"] not in known:
                yield f"{file.name}: {setting} sets {target['sets']!r}, which is not a variable of the template"
        for name, schema in known.items():
            wrong = _invalid(schema["default"], schema, content) if "default" in schema else []
            yield from (f"{file.name}: default of {name}: {message}" for message in wrong)
        yield from (f"{file.name}: {error}" for error in secret_values(content))


def _file_of(pool: Pool) -> Path:
    return FOLDER / f"{pool}.yaml"


def _content(pool: Pool) -> dict[str, Any]:
    content: dict[str, Any] = yaml_text.parsed(_file_of(pool).read_text(encoding="utf-8"))
    return content


def _template(pool: Pool) -> dict[str, Any]:
    if not has_blocks(pool):
        content = _content(pool)
        return {"job_configuration": content["job_configuration"], "variables": content["variables"]}
    template: dict[str, Any] = import_object(_WORKERS[pool]).get_default_base_job_template()
    return template


def _apply_settings(pool: Pool, variables: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Make the settings of the environment the defaults of the template's variables."""
    content = _content(pool)
    needed = {name for name, target in content["settings"].items() if target.get("is_required")} | {"LAKE_BUCKET"}
    if missing := sorted(name for name in needed if not environ.get(name, "").strip()):
        raise WorkPoolError(
            f"expected {', '.join(missing)} in the environment, found none: the runs of a {pool} pool need them. "
            "deployments/.env.example describes them"
        )
    for name, target in content["settings"].items():
        if value := environ.get(name, "").strip():
            variable = variables[target["sets"]]
            variable["default"] = _typed(value, variable)
            for message in _invalid(variable["default"], variable, content):
                raise WorkPoolError(f"{name} is invalid: {message}. Correct it or unset it")


def _typed(value: str, schema: Mapping[str, Any]) -> Any:
    if schema.get("type") == "array":
        return _words(value)
    return int(value) if schema.get("type") == "integer" and re.fullmatch(r"\d+", value) else value


def _words(value: str) -> list[str]:
    return [word.strip() for word in value.split(",") if word.strip()]


def _invalid(value: Any, schema: Mapping[str, Any], content: Mapping[str, Any]) -> list[str]:
    whole = {**schema, "definitions": content["variables"].get("definitions", {})}
    return [error.message for error in jsonschema.Draft202012Validator(whole).iter_errors(value)]


def _is_complete(image: str) -> bool:
    """Whether the name of an image contains a tag or a digest. A colon in the first part belongs to a port."""
    return "@" in image or ":" in image.rpartition("/")[2]


def _image_in_registry(config: Mapping[str, Any], image: str) -> dict[str, Any]:
    """Return the sections `build` and `push`: empty for an image that exists, else with the repository's name."""
    if _is_complete(image):
        return {"build": [], "push": []}
    [(step, inputs)] = config["build"][0].items()
    pushed = {"image_name": f"{{{{ {inputs['id']}.image_name }}}}", "tag": f"{{{{ {inputs['id']}.tag }}}}"}
    return {
        "build": [{step: inputs | {"image_name": image}}],
        "push": [{"prefect_docker.deployments.steps.push_docker_image": pushed}],
    }


def _moved(
    deployment: Mapping[str, Any], pool: Pool, changes: Mapping[str, Any], known: Mapping[str, Any]
) -> dict[str, Any]:
    variables = deployment["work_pool"].get("job_variables", {}) | changes
    kept = {name: value for name, value in variables.items() if name in known}
    return {**deployment, "work_pool": {**deployment["work_pool"], "name": POOLS[pool], "job_variables": kept}}
