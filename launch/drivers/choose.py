"""The drivers by name; each is imported on first use, as importing Ray takes seconds."""

from __future__ import annotations

import dataclasses
import pkgutil
from typing import TYPE_CHECKING, Any

from launch.trial.errors import SettingsError

if TYPE_CHECKING:
    from launch.drivers.driver import Driver

DRIVERS = {
    "ray": "launch.drivers.ray_tune:RayTune",
    "local": "launch.drivers.local:LocalDriver",
}
"""Modules of their classes."""


def make_driver(driver: str | Driver, **options: Any) -> Driver:
    """The driver with a name and these options; an option of None is not set.

    Args:
        driver: its name; a driver object has its options already.

    Raises:
        SettingsError: there is no such driver, or it does not have one of the options.
        ValueError: an option's value is invalid.
    """
    given = {option: value for option, value in options.items() if value is not None}
    if not isinstance(driver, str):
        for option, value in given.items():
            raise SettingsError(f"{option} {value}: set it in {type(driver).__name__}(...) instead")
        return driver
    name = driver
    if name not in DRIVERS:
        raise SettingsError(f"driver {name!r}: choose from {', '.join(DRIVERS)}")
    for option, value in given.items():
        if option not in _options(name):
            who = " or ".join(other for other in DRIVERS if option in _options(other))
            raise SettingsError(
                f"{option} {value}: only the driver {who} has this option; remove it, or use "
                f"that driver"
            )
    return pkgutil.resolve_name(DRIVERS[name])(**given)


def _options(name: str) -> set[str]:
    """The options of a driver."""
    return {field.name for field in dataclasses.fields(pkgutil.resolve_name(DRIVERS[name]))}
