"""Pixels of scenes: every pixel of a batch is sampled once from its sources, with antialiasing.

A layer that is scaled, moved, cut and mirrored is separable: a pixel is a weighted mean of rows of
its source, then of columns, by the triangle filter of `interpolate(antialias=True)`. Torch's
`embedding_bag` computes such sums of rows for all layers of a stack at once, on CPUs and GPUs
alike, and takes windows that begin between two pixels, as on smaller copies of an image. A turned
or sheared layer is first brought to its final scale in this way, and then sampled by `grid_sample`.

What was tried instead, for a window of 500 x 380 pixels that becomes 300 x 300 (ms on a CPU core;
this takes 1.2): `interpolate` on uint8, 0.7 to 1.7 depending on the layout, but one image at a
time, from whole pixels of the source, and not in uint8 on GPUs; products with dense matrices, 6;
`grid_sample` from a level of a pyramid, 2.5 with its filter and grid, and blurred or aliased by up
to a factor of two in scale. Kornia's `warp_affine` is `grid_sample` without a filter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from detectors.data.pieces import ROUNDING, Axis, Piece, Region, Turn, piece_of
from detectors.data.pixels import Pixels
from detectors.data.scene import Scene
from searchspace.geometry import Size

STACK_PIXELS = 1 << 22
"""Pixels of sources that a GPU samples at once; a CPU takes one image at a time, which stays in its
cache."""


class Taps(NamedTuple):
    """Weighted sums of rows: their numbers, int64, and their weights, float32, [P, K] each."""

    rows: Tensor
    weights: Tensor


@dataclass(frozen=True)
class Stack:
    """Pieces of different images, all turned or none, that are sampled at once.

    Attributes:
        images: the number of each piece's image among those of its chunk.
        rows: uint8 [R, 3, W], the rows of all pieces, one below the other.
        down: sums of `rows`, for each piece the rows of the window.
        across: sums of the columns of these, for each piece those of the window.
        window: what is filled, on the canvas or at the final scale of turned pieces.
        turns: for turned pieces, float32 [L, 2, 3], from (x, y, 1) on the canvas to -1..1 in the
            window; their shares of rows and columns of the region, [L, h, 1] and [L, 1, w].
        region: where turned pieces are seen on the canvas; otherwise the window.
    """

    images: tuple[int, ...]
    rows: Tensor
    down: Taps
    across: Taps
    window: Region
    turns: tuple[Tensor, Tensor, Tensor] | None
    region: Region

    def to(self, device: torch.device) -> Stack:
        """The same in a device's memory; copies from pinned memory do not wait."""
        return self._moved(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Stack:
        """The same in memory from which it gets to a GPU without waiting."""
        return self._moved(Tensor.pin_memory)

    def _moved(self, move: Callable[[Tensor], Tensor]) -> Stack:
        down, across = (Taps(*map(move, taps)) for taps in (self.down, self.across))
        turns = None if self.turns is None else tuple(map(move, self.turns))
        return replace(self, rows=move(self.rows), down=down, across=across, turns=turns)


@dataclass(frozen=True)
class Chunk:
    """Consecutive images of a batch.

    Attributes:
        count: their number.
        stacks: from bottom to top.
        resized: a single image that a CPU has only to resize: it alone, instead of stacks.
    """

    count: int
    stacks: tuple[Stack, ...] = ()
    resized: Piece | None = None

    def pin_memory(self) -> Chunk:
        """The same in memory from which it gets to a GPU without waiting."""
        return Chunk(self.count, tuple(stack.pin_memory() for stack in self.stacks))


def chunks(scenes: Sequence[Scene], pixels: Pixels, device: torch.device) -> Iterator[Chunk]:
    """The pixels that scenes of one size need of their sources, ready to be moved to a device."""
    on_gpu = device.type == "cuda"
    waiting: list[list[Piece]] = []
    for number, scene in enumerate(scenes, start=1):
        waiting.append([p for p in (piece_of(v, scene.size, pixels) for v in scene.layers) if p])
        if not on_gpu and len(waiting[0]) == 1 and waiting[0][0].is_whole:
            yield Chunk(1, resized=waiting.pop()[0])
            continue
        held = sum(piece.pixels[0].numel() for pieces in waiting for piece in pieces)
        if held >= STACK_PIXELS or not on_gpu or number == len(scenes):
            yield Chunk(len(waiting), tuple(_stacks(waiting)))
            waiting = []


def sampled(chunk: Chunk, size: Size, ground: Sequence[int], device: torch.device) -> Tensor:
    """The images of a chunk, [N, 3, H, W] in 0..255, on a device: float, or uint8 if it is a single
    one that is only resized and covers the canvas.

    Args:
        ground: the colour where no layer is seen.
    """
    if chunk.resized and chunk.resized.window == (0, 0, size[1], size[0]):
        return chunk.resized.resized()[None]
    colour = torch.tensor(ground, dtype=torch.float32, device=device)[:, None]
    images = colour[..., None].expand(chunk.count, 3, *size).contiguous()
    if chunk.resized:
        x1, y1, x2, y2 = chunk.resized.window
        images[0, :, y1:y2, x1:x2] = chunk.resized.resized()
    for stack in chunk.stacks:
        stack = stack.to(device)
        x1, y1, x2, y2 = stack.region
        found = _difference(stack, colour)
        if stack.turns:
            found = _turned(found, stack.turns, stack.region)
        if stack.images == tuple(range(chunk.count)):
            images[..., y1:y2, x1:x2] += found
        else:
            for image, one in zip(stack.images, found, strict=True):
                images[image, :, y1:y2, x1:x2] += one
    return images


def _stacks(images: Sequence[Sequence[Piece]]) -> Iterator[Stack]:
    """The pieces of images in stacks: first the lowest of each image, then the next, and so on."""
    for level in range(max(map(len, images))):
        found = [(k, pieces[level]) for k, pieces in enumerate(images) if len(pieces) > level]
        for turned in (False, True):
            alike = [(k, piece) for k, piece in found if (piece.turn is not None) == turned]
            if alike:
                numbers, pieces = zip(*alike, strict=True)
                yield _stack(numbers, pieces)


def _stack(images: tuple[int, ...], pieces: Sequence[Piece]) -> Stack:
    window = _around([piece.window for piece in pieces])
    x1, y1, x2, y2 = window
    rows, begins = _rows(pieces)
    weights = [piece.opacity for piece in pieces]
    down = _taps([piece.axes[0] for piece in pieces], (y1, y2), begins, weights)
    ones, columns = [1.0] * len(pieces), rows.shape[2] * np.arange(len(pieces))
    across = _taps([piece.axes[1] for piece in pieces], (x1, x2), columns, ones)
    turns, region = None, window
    if found := [piece.turn for piece in pieces if piece.turn]:
        region = _around([_touched(turn.clip) for turn in found])
        turns = _turns(found, window, region)
    return Stack(images, rows, down, across, window, turns, region)


def _rows(pieces: Sequence[Piece]) -> tuple[Tensor, np.ndarray]:
    """The rows of pieces, uint8 [R, 3, W], and the number of each piece's first [L]."""
    ends = np.cumsum([0] + [piece.pixels.shape[1] for piece in pieces])
    # Few different widths: `embedding_bag` compiles its sum for each number of features.
    width = -(-max(piece.pixels.shape[2] for piece in pieces) // 16) * 16
    rows = torch.empty((int(ends[-1]), 3, width), dtype=torch.uint8)
    filled = rows.numpy()
    for piece, begin, end in zip(pieces, ends[:-1], ends[1:], strict=True):
        filled[begin:end, :, : piece.pixels.shape[2]] = piece.pixels.numpy().transpose(1, 0, 2)
    return rows, ends[:-1]


def _taps(
    axes: Sequence[Axis], ends: tuple[int, int], begins: np.ndarray, factors: Sequence[float]
) -> Taps:
    """The taps of all pixels between two ends of the output, for each axis in turn.

    All axes are computed at once: for short arrays, NumPy takes as long for one as for many.

    Args:
        begins: added to the numbers of the pixels that are taken, which count from `Axis.first`.
        factors: on the weights.
    """
    scale, shift, low, high, first, last = np.array(axes, float).T[:, :, None]
    covered, middle = _cover(low, high, *ends)
    place, radius = (middle - shift) / scale, np.maximum(1, 1 / np.abs(scale))
    reach = math.ceil(2 * radius.max())
    taps = np.floor(place - radius + 0.5)[..., None] + np.arange(reach)
    first, last = first[..., None], last[..., None]
    weights = np.maximum(0, 1 - np.abs(taps + 0.5 - place[..., None]) / radius[..., None])
    weights *= (taps >= first) & (taps < last)
    shares = covered * np.array(factors)[:, None]
    weights *= (shares / np.maximum(weights.sum(-1), ROUNDING))[..., None]
    rows = (taps.clip(first, last - 1) - first).astype(np.int64) + begins[:, None, None]
    return Taps(
        torch.from_numpy(rows.reshape(-1, reach)),
        torch.from_numpy(weights.astype(np.float32).reshape(-1, reach)),
    )


def _turns(turns: Sequence[Turn], window: Region, region: Region) -> tuple[Tensor, Tensor, Tensor]:
    """See `Stack.turns`."""
    x1, y1, x2, y2 = region
    sides = np.array([window[2] - window[0], window[3] - window[1]], float)
    # From pixels to -1..1, from edge to edge.
    back = np.stack([turn.back for turn in turns]) * (2 / sides)[:, None]
    back[:, :, 2] -= 1
    left, top, right, bottom = np.array([turn.clip for turn in turns]).T[:, :, None]
    down = _cover(top, bottom, y1, y2)[0][:, :, None]
    across = _cover(left, right, x1, x2)[0][:, None]
    back, down, across = (torch.from_numpy(made).float() for made in (back, down, across))
    return back, down, across


def _touched(clip: tuple[float, float, float, float]) -> Region:
    """The pixels that a region touches."""
    x1, y1, x2, y2 = clip
    return math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2)


def _around(regions: Sequence[Region]) -> Region:
    lefts, tops, rights, bottoms = zip(*regions, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _cover(
    low: np.ndarray, high: np.ndarray, start: int, stop: int
) -> tuple[np.ndarray, np.ndarray]:
    """The shares of the pixels from `start` to `stop` that lie in intervals [L, 1], and the middles
    of these shares: [L, stop - start] each."""
    edges = np.arange(start, stop + 1, dtype=float)
    left, right = np.maximum(edges[:-1], low), np.minimum(edges[1:], high)
    return np.maximum(0, right - left), (left + right) / 2


def _difference(stack: Stack, ground: Tensor) -> Tensor:
    """What pieces differ from the ground within the stack's window, [L, 3, h, w]."""
    x1, y1, x2, y2 = stack.window
    count, width, high = len(stack.images), stack.rows.shape[2], y2 - y1
    table = stack.rows.to(torch.float32).sub_(ground).flatten(1)
    down = _sums(table, stack.down).view(count, high * 3, width)
    table = down.transpose(1, 2).contiguous().view(count * width, high * 3)
    across = _sums(table, stack.across).view(count, x2 - x1, high, 3)
    return across.permute(0, 3, 2, 1)


def _sums(table: Tensor, taps: Taps) -> Tensor:
    """Weighted sums [P, F] of rows of a table [R, F]."""
    return functional.embedding_bag(taps.rows, table, mode="sum", per_sample_weights=taps.weights)


def _turned(found: Tensor, turns: tuple[Tensor, Tensor, Tensor], region: Region) -> Tensor:
    """Pieces at their final scale [L, 3, h, w], sampled in a region of the canvas."""
    x1, y1, x2, y2 = region
    back, down, across = turns
    x, y = (
        torch.arange(*ends, dtype=torch.float32, device=back.device) + 0.5
        for ends in ((x1, x2), (y1, y2))
    )
    along_x, along_y, shift = back[..., None, None].unbind(2)
    grid = torch.stack((along_x * x + along_y * y[:, None] + shift).unbind(1), -1)
    turned = functional.grid_sample(
        found.contiguous(), grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return turned * (down * across)[:, None]
