from __future__ import annotations

import pytest

from searchspace.geometry import Size
from searchspace.necks.deconvolution import doublings, multiplications
from searchspace.necks.fusion import pooling


@pytest.mark.parametrize(
    ("size", "target", "window", "ceil"),
    [((75, 75), (38, 38), (2, 2), True), ((75, 75), (37, 37), (2, 2), False),
     ((150, 150), (38, 38), (4, 4), True), ((9, 9), (4, 4), (2, 2), False),
     ((75, 100), (38, 50), (2, 2), True), ((75, 100), (37, 50), (2, 2), False),
     ((75, 100), (38, 25), (2, 4), True), ((8, 5), (4, 9), (2, 1), True)],
)  # fmt: skip
def test_poolings(size: Size, target: Size, window: Size, ceil: bool) -> None:
    assert pooling(size, target) == (window, ceil)


@pytest.mark.parametrize(("size", "target"), [((38, 38), (38, 38)), ((10, 19), (19, 19))])
def test_nothing_is_pooled_to_as_many_cells(size: Size, target: Size) -> None:
    assert pooling(size, target)[0] == (1, 1)


@pytest.mark.parametrize(
    ("source", "target", "kernels"),
    [(5, 10, [2]), (5, 9, [3]), (10, 75, [3, 2, 3]), (1, 5, [2, 3, 3]), (5, 5, []), (4, 12, []),
     (9, 5, [])],
)  # fmt: skip
def test_doublings(source: int, target: int, kernels: list[int]) -> None:
    found = doublings(source, target)
    assert [kernel for kernel, _ in found] == kernels
    size = source
    for kernel, stride in found:
        assert stride == 2
        size = (size - 1) * stride - 2 * (kernel - stride) + kernel
    assert size == target or not found


@pytest.mark.parametrize(
    ("source", "target", "factors"),
    [(4, 12, [3]), (4, 24, [2, 3]), (25, 75, [3]), (7, 49, [7]), (4, 13, []), (12, 4, [])],
)
def test_multiplications(source: int, target: int, factors: list[int]) -> None:
    assert multiplications(source, target) == tuple((f, f) for f in factors)
