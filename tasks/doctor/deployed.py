"""Checks of deployments, schedules and limits: the server has what `prefect.yaml` says, and nothing left over."""

from collections.abc import Iterator, Mapping
from typing import Any

from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import DeploymentSchedule, StateType
from prefect.client.schemas.responses import DeploymentResponse

from tasks.doctor.server import Server
from tasks.engine.doctor.outcomes import Check, Finding, ok, problem, skipped, warning
from tasks.engine.quoting import listed, shown

NO_FILE = "this installation does not contain prefect.yaml, so the doctor cannot compare"
LIMIT = "warehouse"
"""The global concurrency limit that protects the warehouse."""

_SCHEDULE_KEYS = ("cron", "rrule", "interval", "timezone", "anchor_date")


def check_deployments(server: Server) -> Iterator[Finding]:
    """Each deployment of the file is on the server, as the file describes it."""
    if server.config is None:
        yield skipped(NO_FILE)
        return
    found = {each.name: each for each in server.own}
    missing = [name for name in server.wanted if name not in found]
    if missing:
        yield problem(f"not deployed: {listed(missing)}", "every deployment of prefect.yaml", server.deploy)
    different = 0
    for name, wanted in server.wanted.items():
        if name in found and (differences := list(_differences(found[name], wanted))):
            different += 1
            yield problem(
                f"{server.address(found[name])} differs from prefect.yaml: {'; '.join(differences)}",
                "the values of prefect.yaml",
                server.deploy,
            )
        if name in found and found[name].paused:
            different += 1
            yield warning(
                f"{server.address(found[name])} is paused: no schedule starts it",
                "a deployment that is not paused, unless somebody paused it on purpose",
                "In the UI: Deployments, the deployment's name, the switch at the top",
            )
    if not missing and not different:
        yield ok(f"{len(server.wanted)} deployments are as prefect.yaml describes them")


def _differences(found: DeploymentResponse, wanted: Mapping[str, Any]) -> Iterator[str]:
    limit = wanted.get("concurrency_limit")
    pairs = (
        ("entrypoint", found.entrypoint, wanted["entrypoint"]),
        ("parameters", found.parameters, wanted.get("parameters") or {}),
        ("enforce_parameter_schema", found.enforce_parameter_schema, wanted.get("enforce_parameter_schema", True)),
        (
            "concurrency limit",
            found.global_concurrency_limit.limit if found.global_concurrency_limit else None,
            limit.get("limit") if isinstance(limit, Mapping) else limit,
        ),
        (
            "collision strategy",
            str(found.concurrency_options.collision_strategy.value) if found.concurrency_options else None,
            limit.get("collision_strategy") if isinstance(limit, Mapping) else None,
        ),
    )
    for name, there, here in pairs:
        if there != here:
            yield f"{name} is {shown(str(there))} and not {shown(str(here))}"


def check_schedules(server: Server) -> Iterator[Finding]:
    """Each schedule of the file is active on the server, and the server has no other."""
    if server.config is None:
        yield skipped(NO_FILE)
        return
    count = 0
    for each in server.own:
        if each.name not in server.wanted:
            continue
        wanted = {schedule["slug"]: schedule for schedule in server.wanted[each.name].get("schedules") or []}
        there = {schedule.slug or "": schedule for schedule in each.schedules}
        for problem_found in _schedule_findings(server, server.address(each), wanted, there):
            count += 1
            yield problem_found
        for schedule in each.schedules:
            if (schedule.slug or "") not in wanted:
                count += 1
                yield warning(
                    f"{server.address(each)} has the schedule {_described(schedule)}, which prefect.yaml does not have",
                    "only the schedules of prefect.yaml: this one still starts runs",
                    f".venv/bin/prefect deployment schedule delete {server.address(each)} {schedule.id}",
                )
    if not count:
        yield ok("every schedule is as prefect.yaml describes it")


def _schedule_findings(
    server: Server, address: str, wanted: Mapping[str, Mapping[str, Any]], there: Mapping[str, DeploymentSchedule]
) -> Iterator[Finding]:
    for slug, schedule in wanted.items():
        found = there.get(slug)
        if found is None:
            yield problem(
                f"{address} has no schedule {slug}: nothing starts it", "the schedules of prefect.yaml", server.deploy
            )
            continue
        timing = found.schedule.model_dump(mode="json")
        differences = [
            f"{key} is {timing.get(key)} and not {schedule[key]}"
            for key in _SCHEDULE_KEYS
            if key in schedule and str(timing.get(key)) != str(schedule[key])
        ]
        if differences:
            yield problem(
                f"schedule {slug} of {address}: {'; '.join(differences)}",
                "the schedules of prefect.yaml",
                server.deploy,
            )
        if not found.active and schedule.get("active", True):
            yield warning(
                f"schedule {slug} of {address} is not active: nothing starts it",
                "an active schedule, unless somebody paused it on purpose",
                f".venv/bin/prefect deployment schedule resume {address} {found.id}",
            )


def _described(schedule: DeploymentSchedule) -> str:
    timing = schedule.schedule.model_dump(mode="json")
    text = timing.get("cron") or timing.get("rrule") or f"every {timing.get('interval')} s"
    return f"{schedule.slug or 'without a slug'} ({text})"


def check_orphans(server: Server) -> Iterator[Finding]:
    """The server has no deployment that the file no longer has: it would start runs of old code."""
    if server.config is None:
        yield skipped(NO_FILE)
        return
    orphans = [each for each in server.own if each.name not in server.wanted]
    for each in orphans:
        yield warning(
            f"deployment {server.address(each)} on pool {each.work_pool_name} is not in prefect.yaml"
            + ("; its schedules still start runs" if any(one.active for one in each.schedules) else ""),
            "only the deployments of prefect.yaml",
            f".venv/bin/prefect deployment delete {server.address(each)}",
        )
    if not orphans:
        yield ok("no deployment is left over")


def check_image_names(server: Server) -> Iterator[Finding]:
    """Every container deployment uses the image of the version in the file."""
    wanted = image_of(server.config)
    images = {
        server.address(each): str(each.job_variables["image"])
        for each in server.own
        if each.name in server.wanted and each.job_variables.get("image")
    }
    if wanted is None or not images:
        yield skipped("no deployment uses an image" if wanted else NO_FILE)
        return
    in_registry = {image for image in images.values() if "/" in image}
    other = sorted(f"{address}: {image}" for address, image in images.items() if image not in {wanted, *in_registry})
    if len(in_registry) > 1:
        yield problem(
            f"different images: {listed(sorted(in_registry))}", "the same image in all deployments", server.deploy
        )
    elif other:
        yield problem(f"another image: {listed(other, 5)}", f"image {wanted}, the version of this code", server.deploy)
    else:
        yield ok(f"{len(images)} deployments use image {' and '.join(sorted(set(images.values())))}")


def image_of(config: Mapping[str, Any] | None) -> str | None:
    """Name and tag of the image that `prefect.yaml` builds."""
    for build in (config or {}).get("build") or []:
        for inputs in build.values():
            if "image_name" in inputs:
                return f"{inputs['image_name']}:{inputs.get('tag', 'latest')}"
    return None


def check_limits(server: Server) -> Iterator[Finding]:
    """The limit that protects the warehouse exists and works, and no slot belongs to a run that ended."""
    limits = {each.name: each for each in server.client.read_global_concurrency_limits(limit=200)}
    limit = limits.get(LIMIT)
    if limit is None:
        yield problem(
            f"global concurrency limit {LIMIT} does not exist",
            "the limit: every load and build of a deployment takes one of its slots, and fails if there is no limit",
            server.deploy,
        )
    elif not limit.active:
        yield warning(
            f"global concurrency limit {LIMIT} is not active: any number of loads run at a time",
            "an active limit",
            f".venv/bin/prefect global-concurrency-limit enable {LIMIT}",
        )
    elif limit.limit < 1:
        yield problem(
            f"global concurrency limit {LIMIT} has {limit.limit} slots: every load waits",
            "at least one slot",
            f".venv/bin/prefect global-concurrency-limit update {LIMIT} --limit 4",
        )
    elif limit.active_slots and not _running(server):
        yield problem(
            f"{limit.active_slots} of {limit.limit} slots of limit {LIMIT} are taken, and no run is active",
            "slots of active runs only: these slots belong to runs that were killed, and loads wait for a free slot",
            f".venv/bin/prefect global-concurrency-limit update {LIMIT} --active-slots 0",
        )
    else:
        yield ok(f"limit {LIMIT} has {limit.limit} slots, {limit.active_slots or 0} of them taken")
    for name in sorted(limits.keys() - {LIMIT}):
        if not name.startswith("deployment:"):
            yield warning(
                f"global concurrency limit {name} is not one of Tally's",
                f"only the limit {LIMIT}, unless another project uses this server",
                f".venv/bin/prefect global-concurrency-limit delete {name}",
            )


def _running(server: Server) -> bool:
    states = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    found = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)))
    return bool(server.client.read_flow_runs(flow_run_filter=found, limit=1))


DEPLOYED_CHECKS = (
    Check("deployments", check_deployments),
    Check("schedules", check_schedules),
    Check("left-over deployments", check_orphans),
    Check("image of the deployments", check_image_names),
    Check("concurrency limits", check_limits),
)
