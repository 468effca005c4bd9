"""The settings that a pipeline declares, compared with those that its page documents."""

from collections.abc import Mapping

import pytest

from tasks.contracts import catalog
from tasks.engine.errors import SettingsError
from tasks.engine.settings import known_variables, read_setting


def assert_settings(prefix: str, defaults: Mapping[str, str]) -> None:
    """The settings with this prefix have these defaults, and a variable overrides each of them."""
    found = {name: setting for name, setting in catalog.settings().items() if name.startswith(prefix)}
    declared = {name: setting for name, setting in found.items() if name in defaults or not setting.is_derived}
    assert {name: setting.default for name, setting in declared.items()} == defaults
    assert known_variables() >= defaults.keys()
    for name, setting in declared.items():
        other = defaults[name] + "x"
        assert read_setting(setting, {name: f" {other} "}) == other
        assert read_setting(setting, {}) == read_setting(setting, {name: ""}) == defaults[name]


def assert_refused(name: str, value: str) -> None:
    """The value is invalid, and the message does not contain it."""
    with pytest.raises(SettingsError, match=f"{name} .*is invalid: expected ") as caught:
        read_setting(catalog.settings()[name], {name: value})
    assert f"'{value}'" not in str(caught.value)
