"""The settings of a station: what 1.6 calls configuration keys and 2.x variables of components."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Literal

DataType = Literal["string", "integer", "decimal", "boolean", "MemberList", "OptionList"]


@dataclass(slots=True)
class Setting:
    """One setting, named variable/instance where it has one. `component` is empty in 1.6; `secret` ones can be written and
    never read."""

    name: str
    value: str
    data_type: DataType = "string"
    component: str = ""
    read_only: bool = False
    secret: bool = False
    unit: str = ""
    choices: str = ""


class SettingRefused(Exception):
    """A setting cannot take a value; the message says why."""


class Settings:
    """The settings of one station, by component and name. `changed` hears of every change; `before_change` may
    still refuse it."""

    def __init__(
        self,
        settings: list[Setting],
        changed: Callable[[Setting], None],
        before_change: Callable[[Setting, str], None] = lambda setting, value: None,
    ) -> None:
        self._settings = {(setting.component, setting.name): setting for setting in settings}
        self._changed = changed
        self._before_change = before_change

    def __iter__(self) -> Iterator[Setting]:
        return iter(self._settings.values())

    def get(self, name: str, component: str = "") -> Setting | None:
        """The setting of that name, if there is one."""
        return self._settings.get((component, name))

    def components(self) -> set[str]:
        """The names of all components."""
        return {component for component, _ in self._settings}

    def number(self, name: str, component: str = "") -> float:
        """The value of a setting that is a number."""
        return float(self._settings[component, name].value)

    def change(self, setting: Setting, value: str) -> None:
        """Set a value.

        Raises:
            SettingRefused: it is read-only, or the value does not suit.
        """
        if setting.read_only:
            raise SettingRefused("it is read-only")
        if setting.data_type == "integer" and not value.isdecimal():
            raise SettingRefused("a whole number, not negative, is expected")
        if setting.data_type == "decimal" and not _is_number(value):
            raise SettingRefused("a number is expected")
        if setting.data_type == "boolean" and value.lower() not in ("true", "false"):
            raise SettingRefused("true or false is expected")
        allowed = set(setting.choices.split(",")) if setting.choices else None
        if allowed is not None and not set(value.split(",")) <= allowed:
            raise SettingRefused(f"only {setting.choices} is expected")
        self._before_change(setting, value)
        setting.value = value
        self._changed(setting)


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False
