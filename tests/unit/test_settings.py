import traceback
from collections.abc import Mapping
from dataclasses import replace

import pytest
from declared_fixtures import Declare
from pydantic import ValidationError
from sample_dataset import THINGS

from tasks.contracts import catalog
from tasks.contracts.settings import Setting, at_least, day_key, month_key
from tasks.contracts.source import Source
from tasks.engine.errors import SettingsError
from tasks.engine.settings import (
    RunSettings,
    known_variables,
    read_lake,
    read_run,
    read_setting,
    read_source,
    read_warehouse,
)

DSN = "postgresql://loader:hunter2@127.0.0.1:5432/tally"
SECRET = "hunter2"
PREFIX = Setting("PARCELS_PREFIX", "shop/", "Prefix of the keys", at_least(1))


def no_block() -> Mapping[str, object]:
    raise SettingsError("neither environment nor block")


def never() -> Mapping[str, object]:
    raise AssertionError("the block was read although the environment speaks")


def test_environment_overrides_the_block() -> None:
    assert read_warehouse({"WAREHOUSE_DSN": DSN}, never).dsn.get_secret_value() == DSN
    lake = read_lake(
        {
            "LAKE_BUCKET": " lake ", "AWS_ENDPOINT_URL": "http://127.0.0.1:9000", "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": "token", "AWS_DEFAULT_REGION": "eu-west-1",
        },
        never,
    )  # fmt: skip
    assert (lake.bucket, lake.endpoint_url, lake.access_key_id, lake.region) == (
        "lake", "http://127.0.0.1:9000", "key", "eu-west-1",
    )  # fmt: skip
    assert lake.secret_access_key
    assert lake.session_token
    assert (lake.secret_access_key.get_secret_value(), lake.session_token.get_secret_value()) == (SECRET, "token")


def test_more_specific_variable_of_aws_wins() -> None:
    environ = {
        "LAKE_BUCKET": "b", "AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_S3": "http://s3", "AWS_REGION": "one",
        "AWS_DEFAULT_REGION": "two",
    }  # fmt: skip
    lake = read_lake(environ, never)
    assert (lake.endpoint_url, lake.region) == ("http://s3", "one")


@pytest.mark.parametrize("environ", [{}, {"WAREHOUSE_DSN": "", "LAKE_BUCKET": ""}])
def test_block_applies_without_a_variable_in_the_environment(environ: dict[str, str]) -> None:
    assert read_warehouse(environ, lambda: {"dsn": DSN}).dsn.get_secret_value() == DSN
    assert read_lake(environ, lambda: {"bucket": "b", "region": None}).bucket == "b"


def test_error_of_a_missing_block_passes() -> None:
    for read in (read_warehouse, read_lake):
        with pytest.raises(SettingsError, match="neither environment nor block"):
            read({}, no_block)


def test_defaults_of_a_run_are_the_documented_ones() -> None:
    settings = read_run({})
    assert settings == RunSettings()
    assert (settings.export_prefix, settings.export_id) == ("analytics_export/", "default")
    assert (settings.max_rejected_rows, settings.max_rejected_share) == (100, 0.01)


def test_every_setting_of_a_run_is_read_from_the_variable_of_its_name() -> None:
    environ = {name.upper(): str(RunSettings.model_fields[name].default) for name in RunSettings.model_fields}
    environ |= {"MAX_REJECTED_ROWS": "7", "MAX_REJECTED_SHARE": "0.5", "EXPORT_PREFIX": "raw/"}
    settings = read_run(environ)
    assert (settings.max_rejected_rows, settings.max_rejected_share, settings.export_prefix) == (7, 0.5, "raw/")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_REJECTED_ROWS", "-1"), ("MAX_REJECTED_ROWS", "many"), ("MAX_REJECTED_ROWS", "1.5"),
        ("MAX_REJECTED_SHARE", "1.01"), ("MAX_REJECTED_SHARE", "-0.1"), ("MAX_REJECTED_SHARE", "nan"),
    ],
)  # fmt: skip
def test_error_of_an_invalid_value_names_the_setting_without_the_value(name: str, value: str) -> None:
    with pytest.raises(
        SettingsError, match=rf"RunSettings from the environment: invalid settings: {name.lower()}: "
    ) as caught:
        read_run({name: value})
    assert f"'{value}'" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "meant"),
    [
        ({"MAX_REJECTED_ROW": "1"}, "MAX_REJECTED_ROWS"),
        ({"PARCEL_PREFIX": "x"}, "PARCELS_PREFIX"),
        ({"WAREHOUSE_DNS": DSN}, "WAREHOUSE_DSN"),
        ({"LAKE_BUCKETS": "x"}, "LAKE_BUCKET"),
        ({"EXPORTID": "x"}, "EXPORT_ID"),
    ],
)
def test_misspelt_name_is_refused_with_a_suggestion(environ: dict[str, str], meant: str, declare: Declare) -> None:
    declare(PREFIX)
    for read in (lambda: read_run(environ), lambda: read_warehouse(environ, never), lambda: read_lake(environ, never)):
        with pytest.raises(
            SettingsError, match=f"unknown variable {next(iter(environ))} .* Did you mean {meant}"
        ) as caught:
            read()
        assert SECRET not in str(caught.value)


def test_variables_of_other_programs_are_ignored() -> None:
    others = {"PATH": "/bin", "LAKE_SERVICE_HOST": "1.2.3.4", "AWS_PROFILE": "x", "WAREHOUSE_PORT": "1", "PGDSN": "x"}
    assert read_run(others) == RunSettings()


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresq://loader:hunter2@127.0.0.1/tally", "hunter2", "password=hunter2 hots=127.0.0.1 dbname",
        "postgresql://loader:hunter2%zz@127.0.0.1/tally", "postgresql://loader@127.0.0.1/tally?pasword=hunter2",
        "host='127.0.0.1 password=hunter2",
    ],
)  # fmt: skip
def test_malformed_dsn_is_refused_and_not_shown(dsn: str) -> None:
    with pytest.raises(SettingsError, match="WAREHOUSE_DSN: invalid settings: dsn: ") as caught:
        read_warehouse({"WAREHOUSE_DSN": dsn}, never)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("url", ["localhost:9000", "hunter2", "ftp://x", "http://"])
def test_malformed_endpoint_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="endpoint_url") as caught:
        read_lake({"LAKE_BUCKET": "b", "AWS_ENDPOINT_URL": url}, never)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_error_of_an_unknown_block_field_does_not_contain_its_value() -> None:
    with pytest.raises(SettingsError, match="pasword") as caught:
        read_warehouse({}, lambda: {"dsn": DSN, "pasword": SECRET})
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_representations_contain_no_secrets() -> None:
    lake = read_lake({"LAKE_BUCKET": "b", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": SECRET}, never)
    for settings in (lake, read_warehouse({"WAREHOUSE_DSN": DSN}, never)):
        assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_settings_are_frozen() -> None:
    for settings, field in ((read_run({}), "export_id"), (read_warehouse({"WAREHOUSE_DSN": DSN}, never), "dsn")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(settings, field, "other")


@pytest.mark.parametrize(
    "key", ["parcels.csv", "{year:04d}/parcels.csv", "{year}/{month}/{hour}.csv", "{year}/{month", "{}"]
)
def test_key_template_without_its_month_is_refused(key: str) -> None:
    setting = Setting("PARCELS_KEY", "{year:04d}/{month:02d}/parcels.csv", "Template of the keys", month_key)
    with pytest.raises(SettingsError, match=r"PARCELS_KEY .*is invalid: expected "):
        read_setting(setting, {"PARCELS_KEY": key})


@pytest.mark.parametrize(
    "key", ["parcels.json", "{year:04d}-{month:02d}.json", "{year}{month}{day}{second}.json", "{day"]
)
def test_key_template_without_its_day_is_refused(key: str) -> None:
    setting = Setting("PARCELS_KEY", "{year:04d}-{month:02d}-{day:02d}.json", "Template of the keys", day_key)
    with pytest.raises(SettingsError, match=r"PARCELS_KEY .*is invalid: expected "):
        read_setting(setting, {"PARCELS_KEY": key})
    valid = "{year}/{month}/{day}/parcels.ndjson.gz"
    assert read_setting(setting, {"PARCELS_KEY": valid}) == valid


def test_variable_overrides_the_default_unless_it_is_empty() -> None:
    assert read_setting(PREFIX, {"PARCELS_PREFIX": " other/ "}) == "other/"
    assert read_setting(PREFIX, {}) == read_setting(PREFIX, {"PARCELS_PREFIX": ""}) == "shop/"


@pytest.mark.parametrize(("least", "value"), [(2, "U"), (3, "ab"), (1, "  ")])
def test_value_that_is_too_short_is_refused_without_the_value(least: int, value: str) -> None:
    with pytest.raises(SettingsError, match=r"PARCELS_BUCKET .*is invalid: expected at least ") as caught:
        read_setting(Setting("PARCELS_BUCKET", "parcels", "Bucket", at_least(least)), {"PARCELS_BUCKET": value})
    assert f"'{value}'" not in str(caught.value)


def test_declared_settings_and_logins_are_known(declare: Declare) -> None:
    source = Source("parcel-shop", (), replace(PREFIX, variable="SHOP_CSV"), replace(PREFIX, variable="SHOP_PARQUET"))
    contract = replace(THINGS, prefix=replace(PREFIX, variable="BOXES_PREFIX"))
    declare(PREFIX, source, contract)
    wanted = {"PARCELS_PREFIX", "BOXES_PREFIX", "THINGS_KEY", "SHOP_CSV", "SHOP_PARQUET"}
    assert wanted <= catalog.settings().keys()
    assert known_variables() >= wanted | {"PARCEL_SHOP_DSN", "PARCEL_SHOP_SECRET"}


def test_two_settings_with_one_variable_are_refused(declare: Declare) -> None:
    with pytest.raises(ValueError, match=r"PARCELS_PREFIX: expected one setting, found .* Declare one of them"):  # noqa: PT012
        declare(PREFIX, replace(PREFIX, default="other/"))
        catalog.settings()


def test_second_database_needs_no_change_of_the_engine() -> None:
    bucket = Setting("WEB_SHOP_BUCKET", "web-shop", "Bucket")
    source = Source("web-shop", (), bucket, bucket)
    asked: list[str | None] = []

    def secret(name: str | None) -> str:
        asked.append(name)
        return '{"user": "u", "password": "p", "host": "h", "database": "d"}'

    assert read_source(source, {"WEB_SHOP_DSN": DSN}, secret).dsn.get_secret_value() == DSN
    assert read_source(source, {"WEB_SHOP_SECRET": "login"}, secret).origin == "secret login"
    assert read_source(source, {}, secret).origin == "the secret of block `web-shop`"
    assert asked == ["login", None]
