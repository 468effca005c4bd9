"""Decide what a sample leaves open: the name, the partition and the key of a new pipeline."""

import os
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

from deployments.pipeline_files import files_of
from deployments.scaffold.pipeline import NewPipeline
from deployments.scaffold.project import ROOT
from tasks.contracts.catalog import contracts
from tasks.engine.errors import ParameterError
from tasks.engine.samples.files import SampleFile
from tasks.engine.samples.key_candidates import is_certain
from tasks.engine.samples.names import identifier_of, is_identifier
from tasks.engine.samples.partitions import KeyPattern, dated_pattern
from tasks.engine.samples.profile import SampleProfile

LONGEST_NAME = 30
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def decide(
    name: str, file: SampleFile, profile: SampleProfile, partition: str, key: str, root: Path = ROOT
) -> NewPipeline:
    """Decide what the scaffold writes.

    Args:
        name: Name of the pipeline.
        file: The sample.
        profile: What the sample shows.
        partition: `month`, `day`, `none`, or empty for what the name of the file shows.
        key: Columns of the key, separated by commas; empty for what the sample shows.
        root: Folder of the project.

    Raises:
        ParameterError: The name, the partition or the key does not fit. The message says what to do.
    """
    check_name(name, root)
    pattern = _pattern(profile, partition)
    columns = _key(profile, key)
    bucket = file.bucket if file.bucket != os.environ.get("LAKE_BUCKET", "lake") else ""
    if not file.bucket and not pattern.prefix:
        pattern = replace(pattern, prefix=f"{name}/")
    return NewPipeline(name, profile, pattern, columns, bucket)


def check_name(name: str, root: Path = ROOT) -> None:
    """Refuse a name that is invalid as an identifier or taken by something in the project.

    Raises:
        ParameterError: The message says which name to choose.
    """
    if not is_identifier(name) or len(name) > LONGEST_NAME:
        raise ParameterError(
            f"NAME={name}: expected at most {LONGEST_NAME} small letters, digits and underscores that begin with a"
            f" letter and are no reserved word of SQL, such as {identifier_of(name)[:LONGEST_NAME]}"
        )
    pipelines = sorted({contract.pipeline for contract in contracts().values()})
    taken = [str(path) for path in files_of(name, [f"{name}_core", f"{name}_marts"], root)]
    if name in pipelines or name in contracts() or taken:
        raise ParameterError(
            f"NAME={name}: expected a name that nothing in the project has, found"
            f" {', '.join(taken[:3]) or 'a dataset'}. Choose another name, such as {name}_feed"
        )


def _pattern(profile: SampleProfile, partition: str) -> KeyPattern:
    pattern = profile.pattern
    if partition in ("", pattern.unit):
        return pattern
    if partition == "none":
        key = profile.uri.rpartition("/")[2] if pattern.unit else pattern.template
        return KeyPattern(pattern.prefix, key)
    if pattern.unit == "day" and partition == "month":
        return replace(pattern, unit="month", example=(pattern.example or date.min).replace(day=1), has_parts=True)
    if pattern.unit:
        raise ParameterError(
            f"PARTITION={partition}: expected month or none, because the name of the file has no day, found"
            f" {pattern.template}"
        )
    return dated_pattern(pattern, "month" if partition == "month" else "day", _first_day(profile, partition))


def _first_day(profile: SampleProfile, partition: str) -> date:
    """The period of the sample: that of its first date column, else a made-up one."""
    for column in profile.columns:
        if column.kind.name in ("date", "timestamp", "timestamptz") and (found := _DAY.match(column.smallest)):
            day = date.fromisoformat(found[0])
            return day.replace(day=1) if partition == "month" else day
    return date(2021, 4, 1)


def _key(profile: SampleProfile, key: str) -> tuple[str, ...]:
    """The columns of the key, by their names in the table or in the file."""
    if not key:
        group = profile.keys[0] if profile.keys else ()
        return group if group and is_certain([profile.column(name) for name in group]) else ()
    names = []
    for wanted in (part.strip() for part in key.split(",")):
        found = [column for column in profile.columns if wanted in (column.name, column.source)]
        if not found:
            raise ParameterError(
                f"KEY={key}: expected columns of the sample, {', '.join(each.name for each in profile.columns)}; found"
                f" {wanted}"
            )
        if found[0].null_count:
            raise ParameterError(
                f"KEY={key}: expected a value in every row, found {found[0].null_count:,} rows without {wanted}"
            )
        names.append(found[0].name)
    if not profile.is_key(names):
        raise ParameterError(f"KEY={key}: expected different values in each row, found rows with the same values")
    return tuple(names)
