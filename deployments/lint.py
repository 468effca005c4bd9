"""Find errors in prefect.yaml that Prefect accepts without a warning.

    python -m deployments.lint

Prefect deploys a misspelt key or job variable, a schedule without identity and an unset variable of the environment
with exit code 0. Each message here names the location, the expected value and the found value.
"""

import importlib
import inspect
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema
from prefect import Flow
from prefect.cli.deploy._models import (
    ConcurrencyLimitSpec,
    DeploymentConfig,
    PrefectYamlModel,
    RawScheduleConfig,
    WorkPoolConfig,
)
from prefect.client.schemas.objects import ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule, RRuleSchedule
from prefect.utilities.callables import parameter_schema
from prefect.utilities.importtools import import_object
from prefect.utilities.schema_tools.validation import validate
from prefect.utilities.templating import find_placeholders
from pydantic import BaseModel, ValidationError

from deployments import work_pools, yaml_text
from deployments.automations import TAG
from deployments.lint_values import ACTIONS, references, secrets
from deployments.work_pools import POOLS

_SHARED = "definitions"
_STEP_KEYS = {"id", "requires"}
_COPIES = "Prefect would copy the working directory for each run. Use prefect.deployments.steps.set_working_directory"


def load(file: Path) -> dict[str, Any]:
    """Read a prefect.yaml.

    Raises:
        TypeError: The file is not a mapping.
    """
    config = yaml_text.parsed(file.read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise TypeError(f"{file}: expected a mapping, found {type(config).__name__}")
    return config


def errors(config: Mapping[str, Any], *, root: Path, environ: Mapping[str, str]) -> list[str]:
    """Find the errors in a prefect.yaml.

    Args:
        config: Content of the file.
        root: Folder of the file and its Dockerfile.
        environ: Environment of the deployment.

    Returns:
        One line for each error, beginning with its location; empty without errors.
    """
    deployments = config.get("deployments") or []
    names = Counter(deployment.get("name") for deployment in deployments)
    found = [
        *_unknown(config, PrefectYamlModel, "", also={_SHARED}),
        *references(config, root, environ),
        *secrets(config),
        *_steps(config, ""),
        *(f"deployments: expected each name once, found {name!r} {n} times" for name, n in names.items() if n > 1),
    ]
    for number, deployment in enumerate(deployments):
        if not deployment.get("pull", config.get("pull")):
            found.append(f"deployments.{deployment.get('name') or number}.pull: expected a step, found none; {_COPIES}")
        found.extend(_deployment(deployment, f"deployments.{deployment.get('name') or number}"))
    found.extend(_names(deployments))
    if not found:
        # The checks above do not cover all types: let Prefect's own models check the rest.
        found.extend(_pydantic(PrefectYamlModel, {k: v for k, v in config.items() if k != _SHARED}, "prefect.yaml"))
    return found


def flow_of(deployment: Mapping[str, Any]) -> Flow[..., Any]:
    """The flow that a deployment's module entrypoint names.

    Raises:
        ImportError: The module cannot be imported.
        AttributeError: The module has no such function.
        TypeError: The function is not a flow.
        ValueError: The entrypoint does not have the form module.function.
    """
    entrypoint = str(deployment.get("entrypoint"))
    module, _, name = entrypoint.rpartition(".")
    if not module or ":" in entrypoint:
        raise ValueError("expected a module entrypoint such as flows.plan.plan")
    flow = getattr(importlib.import_module(module), name)
    if not isinstance(flow, Flow):
        raise TypeError(f"expected a flow, found {type(flow).__name__}")
    return flow


def _deployment(deployment: Mapping[str, Any], at: str) -> Iterator[str]:
    yield from _unknown(deployment, DeploymentConfig, at)
    yield from _steps(deployment, f"{at}.")
    yield from _work_pool(deployment.get("work_pool"), f"{at}.work_pool")
    yield from _concurrency(deployment.get("concurrency_limit"), f"{at}.concurrency_limit")
    yield from _schedules(deployment, at)
    if TAG not in (deployment.get("tags") or ()):
        yield f"{at}.tags: expected the tag {TAG}, so that alerts cover the runs, found {deployment.get('tags') or []}"
    given = deployment.get("parameters") or {}
    try:
        flow = flow_of(deployment)
    except Exception as error:  # an import runs any code, which may raise any error
        yield f"{at}.entrypoint: {deployment.get('entrypoint')!r} is not a flow: {type(error).__name__}: {error}"
        return
    yield from _parameters(given, flow, f"{at}.parameters")
    for schedule in deployment.get("schedules") or []:
        if isinstance(schedule, Mapping):
            own = schedule.get("parameters") or {}
            yield from _parameters(own, flow, f"{at}.schedules.parameters")
            missing = set(parameter_schema(flow).model_dump().get("required") or []) - {*given, *own}
            if missing:
                yield f"{at}.schedules: expected values for {_listed(missing)}, which have no default; found no values"


def _names(deployments: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Check that one deployment of each flow has the flow's name, which starts runs; others may have other names."""
    named: dict[str, list[Any]] = {}
    for deployment in deployments:
        with suppress(Exception):  # `_deployment` reports an entrypoint that is not a flow
            named.setdefault(flow_of(deployment).name, []).append(deployment.get("name"))
    for flow, names in named.items():
        if flow not in names:
            yield f"deployments.{names[0]}.name: expected the flow's name {flow!r}, found {', '.join(map(repr, names))}"


def _parameters(given: Mapping[str, Any], flow: Flow[..., Any], at: str) -> Iterator[str]:
    schema = parameter_schema(flow).model_dump_for_openapi()
    for name in given.keys() - schema["properties"].keys():
        yield f"{at}.{name}: expected one of {_listed(schema['properties'])}, the parameters of flow {flow.name}"
    for error in validate({k: v for k, v in given.items() if k in schema["properties"]}, schema, ignore_required=True):
        yield f"{at}.{'.'.join(map(str, error.absolute_path))}: {error.message}"


def _work_pool(pool: Any, at: str) -> Iterator[str]:
    if not isinstance(pool, Mapping):
        yield f"{at}: expected a mapping with name and job_variables, found {pool!r}"
        return
    yield from _unknown(pool, WorkPoolConfig, at)
    kind = next((kind for kind, name in POOLS.items() if name == pool.get("name")), None)
    if kind is None:
        yield f"{at}.name: expected one of {_listed(POOLS.values())}, found {pool.get('name')!r}"
        return
    known = work_pools.job_variables(kind)
    for name, value in (pool.get("job_variables") or {}).items():
        if name not in known:
            yield f"{at}.job_variables.{name}: expected one of {_listed(known)}, the variables of a {kind} worker"
        elif not find_placeholders(value):
            for error in jsonschema.Draft202012Validator(known[name]).iter_errors(value):
                yield f"{at}.job_variables.{name}: {error.message}"


def _concurrency(limit: Any, at: str) -> Iterator[str]:
    if not isinstance(limit, Mapping):
        return
    yield from _unknown(limit, ConcurrencyLimitSpec, at)
    yield from _pydantic(ConcurrencyOptions, {k: v for k, v in limit.items() if k != "limit"}, at)
    if not isinstance(limit.get("limit"), int) or limit["limit"] < 1:
        yield f"{at}.limit: expected a number greater than 0, found {limit.get('limit')!r}"


def _schedules(deployment: Mapping[str, Any], at: str) -> Iterator[str]:
    if "schedule" in deployment:
        yield f"{at}.schedule: expected `schedules`, a list; this old key has no slug"
    schedules = deployment.get("schedules") or []
    for number, schedule in enumerate(schedules):
        place = f"{at}.schedules.{number}"
        if not isinstance(schedule, Mapping):
            yield f"{place}: expected a mapping, found {schedule!r}"
            continue
        yield from _pydantic(RawScheduleConfig, schedule, place)
        if not schedule.get("slug"):
            yield f"{place}: expected a slug, found no slug; without a slug the next deployment adds the schedule again"
        if not schedule.get("timezone"):
            yield f"{place}: expected a timezone, found no timezone"
        timing = {key: schedule[key] for key in ("cron", "rrule", "timezone") if schedule.get(key)}
        if "cron" in timing:
            yield from _pydantic(CronSchedule, timing, place)
        elif "rrule" in timing:
            yield from _pydantic(RRuleSchedule, timing, place)
    slugs = Counter(s.get("slug") for s in schedules if isinstance(s, Mapping) and s.get("slug"))
    yield from (
        f"{at}.schedules: expected each slug once, found {slug!r} {n} times" for slug, n in slugs.items() if n > 1
    )


def _steps(section: Mapping[str, Any], at: str) -> Iterator[str]:
    for action in ACTIONS:
        steps = section.get(action) or []
        for number, step in enumerate([steps] if isinstance(steps, Mapping) else steps):
            place = f"{at}{action}.{number}"
            if not isinstance(step, Mapping) or len(step) != 1:
                yield f"{place}: expected a mapping of one step to its inputs, found {step!r}"
                continue
            [(name, inputs)] = step.items()
            try:
                function = import_object(name)
            except (ImportError, AttributeError, ValueError) as error:
                yield f"{place}: {name} is not a step: {error}"
                continue
            known = _inputs(function)
            for unknown in (inputs or {}).keys() - known:
                yield f"{place}.{unknown}: expected one of {_listed(known)}, the inputs of {name}"


def _inputs(step: Any) -> set[str]:
    parameters = inspect.signature(step).parameters
    known = {name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD} | _STEP_KEYS
    if "build_kwargs" in parameters:
        # The image build passes unknown inputs to docker-py.
        known |= inspect.signature(import_object("docker.APIClient").build).parameters.keys() - {"self"}
    return known


def _unknown(data: Mapping[str, Any], model: type[BaseModel], at: str, also: Iterable[str] = ()) -> Iterator[str]:
    known = {name for key, field in model.model_fields.items() for name in (key, field.alias) if name} | set(also)
    for key in data.keys() - known:
        yield f"{at}.{key}".lstrip(".") + f": unknown key; expected one of {_listed(known)}"


def _pydantic(model: type[BaseModel], data: Mapping[str, Any], at: str) -> Iterator[str]:
    try:
        model.model_validate(dict(data))
    except ValidationError as error:
        for problem in error.errors(include_input=False):
            yield f"{'.'.join([at, *map(str, problem['loc'])])}: {problem['msg']}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def main() -> None:
    """Lint the project's prefect.yaml and job templates from the command line; exit code 1 if one has errors."""
    root = Path(__file__).resolve().parents[1]
    found = [*errors(load(root / "prefect.yaml"), root=root, environ=os.environ), *work_pools.errors()]
    print("\n".join(found) or "prefect.yaml and the job templates of deployments/pools: no errors")
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
