"""Images that are the same, byte for byte, to the eye, or in a mirror."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.data.dataset import Dataset
from detectors.data.records import ImageFile

MOST_APART = 4.0
"""Grey values of 0..255 by which the looks of two near-doubles differ at most (root mean square).
Copies that were saved again or resized differ by less than 1; distinct microscope images of blood,
which all look much alike, by more than 11."""

CONTRAST_SHARE = 0.15
"""The same as a share of the contrast of the looks: plain images differ little without being
copies."""

LEAST_CONTRAST = 1.0
"""Of a look, in grey values. Below it, there is nothing to see: fine noise, or objects far smaller
than a cell of the look."""

BLOCK = 2048
"""Images compared at once."""


@dataclass(frozen=True)
class Alike:
    """Two images that are the same, by their ids.

    Attributes:
        image: the one that repeats the other.
        other: the one that is repeated.
        exact: the same file, byte for byte.
        mirrored: one is the other with left and right exchanged.
    """

    image: int
    other: int
    exact: bool
    mirrored: bool = False


def alike_within(split: Dataset) -> tuple[Alike, ...]:
    """The images of a split that repeat one before them."""
    return _alike(split, split, earlier=True)


def alike_across(train: Dataset, val: Dataset) -> tuple[Alike, ...]:
    """The training images that are validation images, too: what is validated has been seen."""
    return _alike(train, val, earlier=False)


def _alike(ours: Dataset, theirs: Dataset, earlier: bool) -> tuple[Alike, ...]:
    mine, others = _files(ours), _files(theirs)
    looks, their_looks = _looks(mine), _looks(others)
    found = {
        one: (other, False, mirrored)
        for mirrored, own in ((True, _mirrored(looks)), (False, looks))
        for one, other in _near(own, their_looks, earlier)
    }
    first: dict[str, int] = {}
    for number, file in enumerate(others):
        if file.sha256:
            first.setdefault(file.sha256, number)
    for one, file in enumerate(mine):
        other = first.get(file.sha256)
        if other is not None and (not earlier or other < one):
            found[one] = other, True, False
    return tuple(
        Alike(ours.images[one].id, theirs.images[other].id, exact, mirrored)
        for one, (other, exact, mirrored) in sorted(found.items())
    )


def _files(split: Dataset) -> list[ImageFile]:
    """The file of each image; one without content, which is like no other, where it is not known,
    because the split was not read by `read_split`."""
    unknown = ImageFile("", 0, "")
    return [split.files.get(image.id, unknown) for image in split.images]


def _looks(files: Sequence[ImageFile]) -> np.ndarray:
    """[N, 256] grey values; NaN, which is like nothing, where they are not known."""
    size = max((len(file.look) for file in files), default=1) or 1
    looks = np.full((len(files), size), np.nan, np.float32)
    for row, file in zip(looks, files, strict=True):
        if file.look:
            row[:] = np.frombuffer(file.look, np.uint8)
    return looks


def _mirrored(looks: np.ndarray) -> np.ndarray:
    side = math.isqrt(looks.shape[1])
    return looks.reshape(-1, side, side)[:, :, ::-1].reshape(looks.shape)


def _near(mine: np.ndarray, others: np.ndarray, earlier: bool) -> list[tuple[int, int]]:
    """Pairs of positions: each of mine that has near ones among the others, with the nearest.

    Looks whose means differ by more than `MOST_APART` are not near: only a window of the others,
    sorted by their means, is compared.
    """
    pairs: list[tuple[int, int]] = []
    if mine.shape[1] != others.shape[1]:
        return pairs
    order, ranks = _by_mean(mine), _by_mean(others)
    means = others[ranks].mean(1)
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        looks = mine[block]
        low, high = looks.mean(1)[[0, -1]]
        first = np.searchsorted(means, low - MOST_APART)
        last = np.searchsorted(means, high + MOST_APART, side="right")
        for at in range(first, last, BLOCK):
            pairs += _pairs(looks, block, others, ranks[at : min(last, at + BLOCK)], earlier)
    return pairs


def _by_mean(looks: np.ndarray) -> np.ndarray:
    """The positions of the known looks, darkest first."""
    known = np.flatnonzero(~np.isnan(looks[:, 0]))
    return known[np.argsort(looks[known].mean(1), kind="stable")]


def _pairs(
    looks: np.ndarray, block: np.ndarray, others: np.ndarray, window: np.ndarray, earlier: bool
) -> list[tuple[int, int]]:
    compared = others[window]
    products = looks @ compared.T
    squares = (looks**2).sum(1)[:, None] + (compared**2).sum(1) - 2 * products
    apart = np.sqrt(np.maximum(squares, 0) / looks.shape[1])
    contrast = np.minimum(looks.std(1)[:, None], compared.std(1))
    near = apart <= np.minimum(MOST_APART, CONTRAST_SHARE * contrast)
    near &= contrast >= LEAST_CONTRAST
    if earlier:
        near &= window < block[:, None]
    rows = np.flatnonzero(near.any(1))
    nearest = np.where(near, apart, np.inf)[rows].argmin(1)
    return list(zip(block[rows].tolist(), window[nearest].tolist(), strict=True))
