"""The prefix, the key and the bucket of a contract, and the variables that override them."""

import re
from dataclasses import replace
from typing import Literal

import pytest
from declared_fixtures import Declare
from sample_dataset import THINGS

from tasks.contracts import Partition, catalog
from tasks.contracts.settings import Setting, at_least
from tasks.engine.errors import SettingsError
from tasks.engine.settings import known_variables, read_run, read_setting


def test_plain_texts_of_a_contract_are_settings_with_derived_names(declare: Declare) -> None:
    contract = replace(
        THINGS, dataset="us-flights", table="us.flights", prefix="raw/", key="{year}/{month}.csv", bucket="own"
    )
    declare(contract)
    found = {name: setting.default for name, setting in catalog.settings().items() if name.startswith("US_FLIGHTS")}
    assert found == {"US_FLIGHTS_PREFIX": "raw/", "US_FLIGHTS_KEY": "{year}/{month}.csv", "US_FLIGHTS_BUCKET": "own"}
    assert known_variables() >= found.keys()
    assert contract.prefix_setting
    assert read_setting(contract.prefix_setting, {"US_FLIGHTS_PREFIX": " other/ "}) == "other/"
    assert read_setting(contract.prefix_setting, {"US_FLIGHTS_PREFIX": ""}) == "raw/"
    with pytest.raises(SettingsError, match="Did you mean US_FLIGHTS_PREFIX"):
        read_run({"US_FLIGHT_PREFIX": "x"})


def test_contract_without_objects_of_its_own_has_no_settings() -> None:
    assert replace(THINGS, prefix=None, key=None, partition=None).settings == {}
    fixed = replace(THINGS, prefix="", key=None, partition=None, keys=("things.csv",))
    assert {field: setting.default for field, setting in fixed.settings.items()} == {"prefix": "", "bucket": ""}


@pytest.mark.parametrize(
    ("unit", "key", "expected"),
    [
        ("month", "things.csv", "{year:04d} and {month:02d}"),
        ("month", "{year:04d}/things.csv", "{year:04d} and {month:02d}"),
        ("day", "{year:04d}/{month:02d}.csv", "{year:04d}, {month:02d} and {day:02d}"),
        ("day", "{year}{month}{day", "expected '}'"),
    ],
)
def test_key_template_is_checked_when_the_contract_is_imported(
    unit: Literal["month", "day"], key: str, expected: str
) -> None:
    partition = Partition("month", unit)
    for declared in (key, Setting("OTHER_KEY", key, "Template of the keys")):
        with pytest.raises(ValueError, match=f"contract things, key: .*{re.escape(expected)}"):
            replace(THINGS, key=declared, partition=partition)


def test_variable_of_a_key_template_is_checked_by_the_unit_of_the_partitions(declare: Declare) -> None:
    declared = Setting("DAYS_KEY", "{year}-{month}-{day}.csv", "Template of the keys", at_least(3))
    contract = replace(THINGS, key=declared, partition=Partition("month", "day"))
    declare(declared, contract)
    [setting] = [one for one in catalog.settings().values() if one.variable == "DAYS_KEY"]
    for value, expected in (("{year}-{month}.csv", "{day:02d}"), ("ab", "at least 3 characters")):
        with pytest.raises(SettingsError, match=re.escape(expected)):
            read_setting(setting, {"DAYS_KEY": value})


def test_derived_name_that_the_contract_replaced_is_refused(declare: Declare) -> None:
    declare(replace(THINGS, prefix=Setting("IN_FOLDER", "in/", "Prefix")))
    with pytest.raises(SettingsError, match=r"unknown variable THINGS_PREFIX .* Did you mean IN_FOLDER"):
        read_run({"THINGS_PREFIX": "x"})
    read_run({"THINGS_KEY": "{year}/{month}.csv", "THINGS_BUCKET": "own"})


@pytest.mark.parametrize("dataset", ["export", "lake"])
def test_dataset_whose_variable_belongs_to_the_engine_is_refused(dataset: str, declare: Declare) -> None:
    declare(replace(THINGS, dataset=dataset, prefix=""))
    with pytest.raises(
        SettingsError, match=f"dataset {dataset}: expected a variable of its own, found {dataset.upper()}_"
    ):
        known_variables()
