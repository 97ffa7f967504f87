"""The module that is built from each class of configurations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from searchspace.config import Config
from searchspace.errors import InputError

N = TypeVar("N", bound=type[nn.Module])

_MODULES: dict[type[Config], type[nn.Module]] = {}


def builds(*configs: type[Config]) -> Callable[[N], N]:
    """Register a module as built from classes of configurations, and from their subclasses.

    ::

        @builds(L2Norm)
        class L2NormStep(nn.Module): ...
    """

    def mark(module: N) -> N:
        _MODULES.update(dict.fromkeys(configs, module))
        return module

    return mark


def module_for(config: Config) -> type[nn.Module]:
    """The module that is built from a configuration.

    Raises:
        InputError: none is registered.
    """
    cls = type(config)
    found = next((_MODULES[base] for base in cls.__mro__ if base in _MODULES), None)
    if found is None:
        raise InputError(
            f"no module is built from {cls.__module__}.{cls.__name__}: decorate one with "
            f"@builds({cls.__name__}) of detectors.building, and import it"
        )
    return found
