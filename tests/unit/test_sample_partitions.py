"""The key template of a sample's name: dates, hours, and the numbers of part files."""

import pytest

from tasks.contracts.keys import KeyTemplate, fields_of
from tasks.engine.samples.partitions import key_of, pattern_of

YM, YMD = "{year:04d}-{month:02d}", "{year:04d}-{month:02d}-{day:02d}"
HIVE = "year={year:04d}/month={month:02d}"
SHORT = "year={year:04d}/month={month:d}"
COMPACT = "{year:04d}{month:02d}{day:02d}"


@pytest.mark.parametrize(
    ("key", "prefix", "template", "unit"),
    [
        ("2013/01.csv", "", "{year:04d}/{month:02d}.csv", "month"),
        ("raw/trips_2023-01.parquet", "raw/", f"trips_{YM}.parquet", "month"),
        ("flights.csv", "", "flights.csv", None),
        # Hours.
        ("gh/2015-01-01-15.json.gz", "gh/", f"{YMD}-{{hour:02d}}.json.gz", "day"),
        ("2021-04-03T00.json", "", f"{YMD}T{{hour:02d}}.json", "day"),
        ("2021/04/03/23/a.json", "", "{year:04d}/{month:02d}/{day:02d}/{hour:02d}/a.json", "day"),
        ("dt=2021-04-03/hour=07/a.json", "", f"dt={YMD}/hour={{hour:02d}}/a.json", "day"),
        ("year=2021/month=04/day=03/h=07/a.json", "", f"{HIVE}/day={{day:02d}}/h={{hour:02d}}/a.json", "day"),
        ("views-20210403-150000.gz", "", f"views-{COMPACT}-{{hour:02d}}0000.gz", "day"),
        ("views-2021040315.csv", "", f"views-{COMPACT}{{hour:02d}}.csv", "day"),
        ("2021-04-03-24.json", "", f"{YMD}-*.json", "day"),
        ("2021-04-03-5.json", "", f"{YMD}-*.json", "day"),
        ("2021-04-03-15-30-00.json", "", f"{YMD}-{{hour:02d}}-*.json", "day"),
        # Part files, numbers and hashes.
        ("year=2021/month=04/part-0000.parquet", "", f"{HIVE}/part-*.parquet", "month"),
        ("year=2021/month=4/part-00-a1-c000.snappy.parquet", "", f"{SHORT}/part-*.snappy.parquet", "month"),
        ("a/2021/04/data_00001.csv", "a/", "{year:04d}/{month:02d}/data_*.csv", "month"),
        ("2021/04/station_725300.csv", "", "{year:04d}/{month:02d}/station_725300.csv", "month"),
        ("export_2021-04-03_0001.csv", "", f"export_{YMD}_*.csv", "day"),
        ("export_2021-04-03_02.csv", "", f"export_{YMD}_*.csv", "day"),
        ("export_2021-04_3f2a9c1d77.csv.gz", "", f"export_{YM}_*.csv.gz", "month"),
        ("e_20210403_0b9f4a3c-9a8d-4c2e-8a61-1c2d3e4f5a6b.json", "", f"e_{COMPACT}_*.json", "day"),
        ("2021-04-03_v2_final.csv", "", f"{YMD}_v2_final.csv", "day"),
        # Several dates in one key.
        ("2021/04/sales-2021-04-03.csv", "", f"{{year:04d}}/{{month:02d}}/sales-{YMD}.csv", "day"),
        ("in/2021/sales-2021-04.csv", "in/", f"{{year:04d}}/sales-{YM}.csv", "month"),
        ("year=2021/month=04/made_20210502.csv", "", f"{HIVE}/made_*.csv", "month"),
        ("2021/04/made-2021-05-02.csv", "", "{year:04d}/{month:02d}/made-*.csv", "month"),
        ("x/{a}-2021-04.csv", "x/", f"*a*-{YM}.csv", "month"),
        ("sales_2021-02-30.csv", "", f"sales_{YM}-*.csv", "month"),
    ],
)  # fmt: skip
def test_key_becomes_a_template_that_contracts_accept(key: str, prefix: str, template: str, unit: str | None) -> None:
    found = pattern_of(key)
    assert (found.prefix, found.template, found.unit) == (prefix, template, unit)
    fields_of(template)
    keys = KeyTemplate(prefix, template)
    assert keys.matches(key)
    if unit:
        assert keys.date_of(key) == found.example
        assert prefix + key_of(found) == key
