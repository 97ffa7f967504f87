from __future__ import annotations

import pytest

from searchspace.necks import doublings, multiplications, pooling


@pytest.mark.parametrize(
    ("size", "target", "expected"),
    [(75, 38, (2, True)), (75, 37, (2, False)), (38, 38, (1, False)), (150, 38, (4, True)),
     (9, 4, (2, False)), (10, 19, (1, False))],
)  # fmt: skip
def test_poolings(size: int, target: int, expected: tuple[int, bool]) -> None:
    assert pooling(size, target) == expected


@pytest.mark.parametrize(
    ("source", "target", "kernels"),
    [(5, 10, [2]), (5, 9, [3]), (10, 75, [3, 2, 3]), (1, 5, [2, 3, 3]), (5, 5, []), (4, 12, []),
     (9, 5, [])],
)  # fmt: skip
def test_doublings(source: int, target: int, kernels: list[int]) -> None:
    found = doublings(source, target)
    assert [step.kernel for step in found] == kernels
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
    assert [tuple(step) for step in multiplications(source, target)] == [(f, f) for f in factors]
