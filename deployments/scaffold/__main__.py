"""Write a new pipeline from a sample: `make new-pipeline NAME=parcels SAMPLE=s3://bucket/2021-04.csv`."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from prefect.settings import get_current_settings

from deployments.doctor import stack_variables
from deployments.local.embedded import STACK_VARIABLE, state_folder
from deployments.scaffold.checks import run_checks
from deployments.scaffold.decisions import decide
from deployments.scaffold.pipeline import NewPipeline
from deployments.scaffold.project import ROOT, edited, write_all
from deployments.scaffold.rendering import rendered
from deployments.scaffold.small_sample import sample_of
from tasks.engine.errors import TallyError
from tasks.engine.samples.files import SampleFile
from tasks.engine.samples.profiler import profile_sample
from tasks.sample_profile import sample_file


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Run the command line for the project in a folder; return 1 if it writes no pipeline or a check fails."""
    parser = argparse.ArgumentParser(prog="make new-pipeline", description="Write a new pipeline from a sample file.")
    parser.add_argument("name", help="name of the pipeline, such as parcels")
    parser.add_argument("sample", help="s3://bucket/key, or the path of a local file")
    parser.add_argument("--partition", choices=["month", "day", "none", ""], default="", help="period of one file")
    parser.add_argument("--key", default="", help="columns that identify a row, separated by commas")
    parser.add_argument("--no-checks", action="store_true", help="write the files without running the checks")
    given = parser.parse_args(arguments)
    with stack_variables(state_folder()):
        return write_pipeline(given, root)


def write_pipeline(given: argparse.Namespace, root: Path = ROOT) -> int:
    """Write the pipeline, check it and print the next steps; return 1 if something failed."""
    try:
        file = sample_file(given.sample)
        p = decide(given.name, file, profile_sample(file), given.partition, given.key, root)
        name, sample, rows = sample_of(file, p)
        files: dict[str, str | bytes] = {**rendered(p, rows), **edited(p, root), f"tests/samples/{name}": sample}
        write_all(files, root)
    except (TallyError, ValueError) as error:
        print(f"{error}", file=sys.stderr)
        return 1
    print("Wrote:", *(f"  {path}" for path in sorted(files)), sep="\n")
    failed = [] if given.no_checks else run_checks(p, file, root)
    if failed:
        print(f"All files are written, but these commands failed: {'; '.join(failed)}", file=sys.stderr)
    print(next_steps(p, file))
    return 1 if failed else 0


def next_steps(p: NewPipeline, file: SampleFile) -> str:
    """The commands that load the sample: with the services of `make up`, or with the Prefect server that is set."""
    has_own_server = get_current_settings().api.url and not os.environ.get(STACK_VARIABLE)
    services = "" if has_own_server else f"make up && source {os.path.relpath(state_folder() / 'env')}"
    put = "" if file.bucket else f"make put FILE={shlex.quote(file.uri)} KEY={shlex.quote(p.object_key)}"
    deploy = "make deploy" if has_own_server else "make deploy POOL=process"
    parameter = f" -p {p.unit}={p.example}" if p.unit else ""
    run = f"{os.path.relpath(sys.executable)} -m deployments.run {p.deployment}{parameter}"
    commands = [" && ".join(filter(None, (services, put))), deploy, run]
    return "\n".join(["Load it:", *(f"  {command}" for command in commands if command)])


if __name__ == "__main__":
    sys.exit(main())
