"""int8 by NNCF, as it is or with as many layers left in float as a figure asks for."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import Tensor

from detectors.runtimes.contract import Figure, Run
from detectors.runtimes.libraries import library
from detectors.runtimes.onnx_graph import INPUT

OUTSIDE_NETWORK = r"^(?!/(backbone|neck|head)/)"
"""Names of the operators before and after the network, which are not quantised."""


def quantised(model: Any, images: Tensor, scope: dict[str, list[str]]) -> Any:
    """A model in int8.

    Args:
        model: of OpenVINO or ONNX.
        images: [M, 3, H, W] in 0..1, that the ranges of values are taken from.
        scope: `patterns` of names and `types` of operators that stay in float.
    """
    with _quiet() as nncf:
        return nncf.quantize(model, _images(nncf, images), **_common(nncf, images, scope))


def quantised_with_control(
    model: Any,
    images: Tensor,
    runs: Callable[[Any], Run],
    figure: Figure,
    max_drop: float,
    scope: dict[str, list[str]],
) -> Any:
    """A model in int8, of which the layers that lower a figure most stay in float until it is at
    most `max_drop` lower.

    Args:
        runs: from what NNCF runs a model with to a function.
    """

    def judge(ready: Any, places: Iterable[int]) -> tuple[float, None]:
        return figure(runs(ready), list(places)), None

    with _quiet() as nncf:
        return nncf.quantize_with_accuracy_control(
            model,
            _images(nncf, images),
            nncf.Dataset(list(range(figure.count))),
            judge,
            max_drop=max_drop,
            drop_type=nncf.DropType.ABSOLUTE,
            **_common(nncf, images, scope),
        )


def _images(nncf: Any, images: Tensor) -> Any:
    return nncf.Dataset([{INPUT: image[None].numpy()} for image in images.cpu()])


def _common(nncf: Any, images: Tensor, scope: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "preset": nncf.QuantizationPreset.MIXED,
        "subset_size": len(images),
        "ignored_scope": nncf.IgnoredScope(**scope, validate=False),
    }


@contextlib.contextmanager
def _quiet() -> Iterator[Any]:
    """NNCF, without its log and progress bars."""
    nncf = library("nncf")
    nncf.set_log_level("ERROR")
    with contextlib.redirect_stdout(io.StringIO()):
        yield nncf
