"""SQL cases of a new pipeline: one for each query and each check."""

from collections.abc import Mapping, Sequence

from deployments.scaffold.pipeline import RECORD_NUMBER, NewPipeline

_VALUES = {
    "text": ("a", "b"),
    "boolean": ("t", "f"),
    "date": ("2001-02-03", "2001-02-04"),
    "time": ("01:02:03", "04:05:06"),
    "uuid": ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"),
    "inet": ("192.0.2.1", "192.0.2.2"),
    "jsonb": ('"{}"', '"[]"'),
    "bytea": ("\\x01", "\\x02"),
    "interval": ("01:00:00", "02:00:00"),
}


def values_of(type_name: str) -> tuple[str, str]:
    """Two different values of a type, as a case writes them."""
    if type_name.endswith("[]"):
        return "{}", "{}"
    if type_name.startswith("timestamp"):
        zone = "+00" if type_name == "timestamptz" or "with time" in type_name else ""
        return f"2001-02-03 04:05:06{zone}", f"2001-02-04 04:05:06{zone}"
    return _VALUES.get(type_name.partition("(")[0].strip(), ("1", "2"))


def cases(p: NewPipeline) -> dict[str, str]:
    """Texts of the cases by path below `tests/sql_cases`."""
    core, mart = f"{p.name}_core.{p.table}", f"{p.name}_marts.{p.mart}"
    staging = f"{p.name}_staging.{p.name}"
    folder, mart_folder = core.replace(".", "/"), mart.replace(".", "/")
    rows = _sideways(p, 2, is_core=False)
    first = _sideways(p, 1)
    return {
        f"{folder}/each_row_is_kept.yaml": _case(
            p, "Each row of the file is a row of the table.", {staging: rows}, _sideways(p, 2)
        ),
        f"{folder}/check_finds_a_missing_row.yaml": _case(
            p,
            "The check fails if a row of the file is not in the table.",
            {staging: rows, core: first},
            broken="the table does not have one row for each loaded row",
        ),
        f"{mart_folder}/rows_are_counted.yaml": _case(p, "Each row counts once.", {core: _core_rows(p)}, _counted(p)),
        f"{mart_folder}/check_finds_a_row_that_is_not_counted.yaml": _case(
            p,
            "The check fails if a row is not counted.",
            {core: first},
            broken="the numbers of rows do not add up to the rows of the core table",
        ),
    }


def _case(
    p: NewPipeline, description: str, inputs: Mapping[str, str], expect: str | None = None, broken: str = ""
) -> str:
    lines = [f"description: {description}"]
    if p.unit:
        lines += ["parameters:", f"  {p.unit}: 2021-04-01"]
    lines.append("input:")
    for name, table in inputs.items():
        lines += [f"  {name}: |", *(f"    {line}".rstrip() for line in table.splitlines())]
    if expect is not None:
        lines += ["expect: |", *(f"  {line}".rstrip() for line in expect.splitlines())]
    if broken:
        lines += ["broken checks:", f"  - fail: {broken}", "    rows: 1"]
    return "\n".join(lines) + "\n"


def _own(p: NewPipeline, *, is_core: bool) -> list[tuple[str, str, str]]:
    """The columns that Tally adds: the partition, and the load, the line and the number where they are the key."""
    own = [(p.unit, "2021-04-01", "2021-04-01")] if p.unit else []
    own += [(RECORD_NUMBER, "1", "2")] if is_core and p.is_numbered else []
    return own + ([("load_id", "1", "1"), ("line_number", "2", "3")] if p.has_line_key else [])


def _sideways(p: NewPipeline, count: int, *, is_core: bool = True) -> str:
    rows = [*_own(p, is_core=is_core), *((column.name, *values_of(column.type)) for column in p.columns)]
    header = ("column", "row 1", "row 2")
    return _aligned([list(row[: count + 1]) for row in (header, *rows)])


def _core_rows(p: NewPipeline) -> str:
    """Rows for the mart: two with the same value of its dimension, and one without a value."""
    group = p.dimension.name if p.dimension else ""
    names = [name for name, *_ in _own(p, is_core=True)]
    needed = [
        column for column in p.columns if not column.nullable or (p.dimension and column.name == p.dimension.name)
    ]
    names += [column.name for column in needed] + [each.name for each in p.measures if each.name not in p.key]
    rows = [names]
    for number in range(3):
        cells = ["2021-04-01"] if p.unit else []
        cells += [str(number + 1)] if p.is_numbered else []
        cells += ["1", str(number + 2)] if p.has_line_key else []
        for column in needed:
            is_group = column.name == group
            cells.append(("" if number == 2 else values_of(column.type)[0]) if is_group else _nth(column.type, number))
        cells += [str(2 * number + 1)] * len([each for each in p.measures if each.name not in p.key])
        rows.append(cells)
    return _aligned(rows)


def _nth(type_name: str, number: int) -> str:
    """A different value of a key's column for each row."""
    first = values_of(type_name)[0]
    if first == "a":
        return "abc"[number]
    if first == "1":
        return str(number + 1)
    if first.startswith("2001-02-03"):
        return first.replace("02-03", f"02-{number + 3:02d}")
    return f"{first[:-1]}{number + 1}"


def _counted(p: NewPipeline) -> str:
    month = [p.unit] if p.unit else []
    cell = ["2021-04-01"] if p.unit else []
    averages = [f"average_{measure.name}" for measure in p.measures]
    if p.dimension:
        value = values_of(next(each.type for each in p.columns if each.name == p.dimension.name))[0]
        value = {"t": "true", "f": "false"}.get(value, value) if p.dimension.kind.name == "boolean" else value
        return _aligned(
            [
                [*month, p.dimension.name, "row_count", *averages],
                [*cell, value, "2", *["2.0000"] * len(averages)],
                [*cell, "unknown", "1", *["5.0000"] * len(averages)],
            ]
        )
    names = month or ["dataset"]
    return _aligned([[*names, "row_count", *averages], [*(cell or [p.name]), "3", *["3.0000"] * len(averages)]])


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
