"""The drivers by their names; one is imported when it is asked for, as Ray takes seconds."""

from __future__ import annotations

import dataclasses
import pkgutil
from typing import TYPE_CHECKING, Any

from launch.trial.data import SettingsError

if TYPE_CHECKING:
    from launch.drivers.driver import Driver

DRIVERS = {
    "ray": "launch.drivers.ray_tune:RayTune",
    "local": "launch.drivers.local:LocalDriver",
}
"""Where their classes are."""


def make_driver(driver: str | Driver, **options: Any) -> Driver:
    """The driver of a name, with the options that are given; None is not given.

    Args:
        driver: its name; a driver that is made already has its own options.

    Raises:
        SettingsError: there is no such driver, or it knows nothing of an option.
        ValueError: an option's value makes no sense.
    """
    given = {option: value for option, value in options.items() if value is not None}
    if not isinstance(driver, str):
        for option, value in given.items():
            raise SettingsError(f"{option} {value}: give it to {type(driver).__name__} itself")
        return driver
    name = driver
    if name not in DRIVERS:
        raise SettingsError(f"driver {name!r}: choose from {', '.join(DRIVERS)}")
    for option, value in given.items():
        if option not in _options(name):
            who = " or ".join(other for other in DRIVERS if option in _options(other))
            raise SettingsError(
                f"{option} {value}: only the driver {who} knows of it; leave it out, or take "
                f"that driver"
            )
    return pkgutil.resolve_name(DRIVERS[name])(**given)


def _options(name: str) -> set[str]:
    """The options of a driver."""
    return {field.name for field in dataclasses.fields(pkgutil.resolve_name(DRIVERS[name]))}
