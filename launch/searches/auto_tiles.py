"""Tiles for objects that are too small on whole images to be learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from detectors.data.health import Boxes
from launch.searches.auto_shape import LEARNABLE, learnable_at, longest_side
from searchspace.geometry import Size
from searchspace.tiles import TileSize

SIDES = (256, 320, 384, 448, 512, 640)
"""Sides of tiles that are considered, in pixels of the image."""

MOST_INPUT = 512
"""The largest input that objects on a tile may need. Of the tiles for which that is enough, the
largest are taken: they have the fewest borders."""

OVERLAP = 0.2
CUT, OFTEN = 0.5, 0.01
"""Objects longer than this share of a tile are often cut by its borders. From this share of such
objects on, the whole image is offered as one more tile."""

PATH = "detector.tiles"


@dataclass(frozen=True)
class Cut:
    """How images are cut into tiles, or that they are not.

    Attributes:
        fields: of the space, by path.
        reasons: a sentence for each choice.
        parts: tiles of an image in the mean.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    parts: float = 1.0


WHOLE = Cut()


def cut_for(boxes: Boxes, images: Sequence[Size]) -> tuple[Cut, Boxes]:
    """The cut of images whose objects are too small otherwise, and the objects on the tiles.

    Args:
        images: height and width of each.
    """
    tiles = _tiles_for(boxes)
    if tiles is None:
        return WHOLE, boxes
    boxes = boxes.on_tiles(tiles)
    parts = fmean(len(tiles.tiles(image)) for image in images)
    fields = {
        f"{PATH}.kind": "size",
        f"{PATH}.size.side": tiles.side,
        f"{PATH}.size.overlap": tiles.overlap,
        f"{PATH}.size.whole": {"choice": (False, True)} if _often_cut(boxes) else False,
    }
    reason = (
        f"tiles of {tiles.side} px, about {parts:.3g} an image: on whole images the smallest "
        f"objects are below the {LEARNABLE:g} px from which they can be learned"
    )
    return Cut(fields, (reason,), parts), boxes


def _tiles_for(boxes: Boxes) -> TileSize | None:
    """Tiles on which the objects can be learned; None where they can be on whole images, and for
    images that are hardly larger than a tile."""
    if learnable_at(boxes) or longest_side(boxes) < 2 * SIDES[0]:
        return None
    each = [TileSize(side=side, overlap=OVERLAP) for side in SIDES]
    inputs = [learnable_at(boxes.on_tiles(tiles)) for tiles in each]
    fit = [t for t, sizes in zip(each, inputs, strict=True) if sizes and sizes[0] <= MOST_INPUT]
    return (fit or each[:1])[-1]


def _often_cut(boxes: Boxes) -> bool:
    """Whether many of the objects on tiles are cut by their borders."""
    longest = boxes.sides.max(1) / boxes.sizes[boxes.images].min(1)
    return bool((longest > CUT).mean() >= OFTEN)
