"""The generated set: textured images of four shapes in COCO's mix of sizes, as a COCO folder.

    train/000001.jpg ...   val/000001.jpg ...   annotations/instances_{train,val}.json

Every image has its own random stream, seeded by (seed, split, number): image k does not depend on
the number of images, and the same configuration gives the same bytes.
"""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detectors.activity import active
from detectors.data.outlines import SHAPES, turned
from detectors.data.textures import Array, background, blend, fill
from searchspace.errors import InputError

_GENERATOR = "sparrow-shapes-1"  # increase when the same configuration gives a different set
_JPEG_QUALITY = 92
MIN_SIZE = 64  # below this, distractors and small objects crowd the image

# COCO's borders between small, medium and large, as areas in pixels.
_MEDIUM_AREA, _LARGE_AREA = 32**2, 96**2
_SMALL_SIDES = (10.0, 31.0)  # longer side of the box of a small object
# Chances of 0, 1, 2, ... objects of a size in an image: at most 12 in all. More large ones are
# drawn than COCO's mix says, because a second one seldom finds room.
_COUNTS = {
    "large": (0.05, 0.10, 0.85),
    "medium": (0.10, 0.18, 0.28, 0.26, 0.18),
    "small": (0.16, 0.23, 0.24, 0.18, 0.10, 0.05, 0.04),
}
_MAX_HIDDEN = 0.25  # share of an object that all objects above it may hide
_REDRAWS, _POSITIONS = 5, 6  # shapes tried for an object, and positions tried for each


@dataclass(frozen=True)
class ShapesConfig:
    """The settings that determine a generated set.

    Attributes:
        train_images: number of images of the training split.
        val_images: number of images of the validation split.
        size: side of the square images in pixels, at least 64. At 192, the mix of object sizes is
            COCO's: objects keep their sizes in pixels, so smaller images have room for fewer large
            ones (below about 110 for none) and larger images for more.
        seed: 0 or more.
    """

    train_images: int = 600
    val_images: int = 200
    size: int = 192
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"train_images": 1, "val_images": 1, "size": MIN_SIZE, "seed": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < low:
                raise InputError(f"ShapesConfig.{name} must be an integer >= {low}, got {value!r}")


def generate_shapes(folder: Path, config: ShapesConfig = ShapesConfig()) -> Path:
    """Write the set of `config` as a COCO folder, unless `folder` holds it already.

    The set is written into a hidden folder beside `folder` and renamed when complete, so `folder`
    never holds a part of it.

    Returns:
        `folder`.

    Raises:
        FileExistsError: `folder` holds something other than this set.
    """
    folder = Path(folder)
    if _is_taken(folder, config):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        partial = Path(temporary) / folder.name
        for stream, (split, count) in enumerate(_splits(config).items()):
            _write_split(partial, split, stream, count, config)
        try:
            partial.rename(folder)
        except OSError:
            # Another process may have finished the same set meanwhile.
            if not _is_taken(folder, config):
                raise
    return folder


def _splits(config: ShapesConfig) -> dict[str, int]:
    return {"train": config.train_images, "val": config.val_images}


def _info(config: ShapesConfig) -> dict[str, Any]:
    return {"description": "Generated shapes", "generator": _GENERATOR, "config": asdict(config)}


def _annotation_file(folder: Path, split: str) -> Path:
    return folder / "annotations" / f"instances_{split}.json"


def _is_taken(folder: Path, config: ShapesConfig) -> bool:
    """True: it holds this set; False: it is empty or missing; anything else is an error."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    for split in _splits(config):
        file = _annotation_file(folder, split)
        found = _recorded_info(file)
        if found != _info(config):
            raise FileExistsError(
                f"{folder} exists and is not the generated set of {config}: the info in {file} is "
                f"{found!r}. Give another folder, or delete this one to generate it again."
            )
    return True


def _recorded_info(file: Path) -> object:
    """The `info` of an annotation file; None if it cannot be read."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return data.get("info") if isinstance(data, dict) else None


def _write_split(folder: Path, split: str, stream: int, count: int, config: ShapesConfig) -> None:
    (folder / split).mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with active("Generating images", count) as advance:
        for image_id in range(1, count + 1):
            seeds = np.random.SeedSequence(config.seed, spawn_key=(stream, image_id))
            pixels, objects = _draw(np.random.default_rng(seeds), config.size)
            name = f"{image_id:06d}.jpg"
            Image.fromarray(pixels).save(folder / split / name, quality=_JPEG_QUALITY)
            images.append(
                {"id": image_id, "file_name": name, "width": config.size, "height": config.size}
            )
            for entry in objects:
                annotations.append({"id": len(annotations) + 1, "image_id": image_id, **entry})
            advance(1)
    data = {
        "info": _info(config),
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(SHAPES, start=1)],
    }
    file = _annotation_file(folder, split)
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(data), encoding="utf-8")


def _draw(rng: np.random.Generator, size: int) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """One image (size, size, 3), and its objects as COCO annotations without ids."""
    placed, owner = _arrange(rng, size)
    while not placed:
        placed, owner = _arrange(rng, size)
    canvas = background(rng, size)
    for item in placed:
        _paint(rng, canvas, item)
    pixels = np.clip(np.rint(canvas), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    return pixels, [_annotate(item, owner == i) for i, item in enumerate(placed, start=1)]


# Objects -------------------------------------------------------------------------------------


class _Object(NamedTuple):
    category_id: int
    distance: Array  # (h, w) signed distances to the outline in pixels, in the object's window
    area: int  # of the whole mask, in pixels
    top: int = 0
    left: int = 0

    @property
    def mask(self) -> NDArray[np.bool_]:
        return self.distance <= 0

    @property
    def window(self) -> tuple[slice, slice]:
        height, width = self.distance.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def _new_object(rng: np.random.Generator, size_name: str, image_size: int) -> _Object:
    """A random shape of the named size ("small", "medium", "large"), not yet placed."""
    category = int(rng.integers(len(SHAPES)))
    shape = list(SHAPES.values())[category]
    angle = rng.uniform(0, 2 * np.pi)
    corners = turned(shape.corners, np.array([angle]))
    if size_name == "small":
        radius = rng.uniform(*_SMALL_SIDES) / float(np.ptp(corners, axis=0).max())
    else:
        # The margins to COCO's borders allow for the pixels that an outline gains or loses.
        areas = {
            "medium": (1.03 * _MEDIUM_AREA, 0.97 * _LARGE_AREA),
            "large": (1.03 * _LARGE_AREA, max(1.1 * _LARGE_AREA, 0.4 * image_size**2)),
        }[size_name]
        radius = math.sqrt(math.exp(rng.uniform(*np.log(areas))) / shape.area)
    # The window leaves a pixel about the shape for its smooth edge.
    centre = (rng.uniform(0, 1, 2) + 1 - np.floor(radius * corners.min(axis=0))).tolist()
    width, height = np.ceil(centre + radius * corners.max(axis=0)).astype(int) + 1
    x = (np.arange(width, dtype=np.float32)[None] + 0.5 - centre[0]) / radius
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5 - centre[1]) / radius
    cos, sin = math.cos(angle), math.sin(angle)
    distance = radius * shape.distance(x * cos + y * sin, y * cos - x * sin)
    return _Object(category + 1, distance, area=int(np.count_nonzero(distance <= 0)))


# Arrangement ---------------------------------------------------------------------------------


def _arrange(rng: np.random.Generator, size: int) -> tuple[list[_Object], NDArray[np.int64]]:
    """Objects from the lowest to the topmost, and (size, size) the number of the object seen at
    each pixel: 1 for the lowest, 0 where there is none."""
    placed: list[_Object] = []
    owner = np.zeros((size, size), dtype=np.int64)
    for name, chances in _COUNTS.items():
        for _ in range(rng.choice(len(chances), p=chances)):
            item = _place(rng, name, placed, owner)
            if item is not None:
                placed.append(item)
                owner[item.window][item.mask] = len(placed)
    return placed, owner


def _place(
    rng: np.random.Generator, size_name: str, placed: list[_Object], owner: NDArray[np.int64]
) -> _Object | None:
    """A random object of the named size at a free place; None if none was found."""
    for _ in range(_REDRAWS):
        item = _new_object(rng, size_name, len(owner))
        position = _find_place(rng, item, placed, owner)
        if position is not None:
            return item._replace(top=position[0], left=position[1])
    return None


def _find_place(
    rng: np.random.Generator, item: _Object, placed: list[_Object], owner: NDArray[np.int64]
) -> tuple[int, int] | None:
    """(top, left) of the first random window in which `item` covers no object too much."""
    room = np.array(owner.shape) - item.distance.shape
    if room.min() < 0:
        return None
    ys, xs = np.nonzero(item.mask)
    pixels = ys * owner.shape[1] + xs
    spare = _spare(item.area, placed, owner)
    # Large objects are placed at the edges, or two would hardly ever fit into an image.
    spread = 0.1 if item.area > _LARGE_AREA else 1.0
    places = rng.beta(spread, spread, (_POSITIONS, 2)) * room
    for top, left in np.rint(places).astype(int).tolist():
        under = owner.ravel()[pixels + top * owner.shape[1] + left]
        if np.all(np.bincount(under, minlength=len(spare) + 1)[1:] <= spare):
            return top, left
    return None


def _spare(area: int, placed: list[_Object], owner: NDArray[np.int64]) -> Array:
    """How many of its visible pixels each placed object may lose to a new one of `area` pixels.

    Only objects clearly larger than the new one may be covered, or large ones by large ones.
    What is left of a medium or large one stays medium or large; small ones are never covered.
    """
    full = np.array([other.area for other in placed], dtype=int)
    visible = np.bincount(owner.ravel(), minlength=len(placed) + 1)[1:]
    both_large = (full > _LARGE_AREA) & (area > _LARGE_AREA)
    coverable = (full > _MEDIUM_AREA) & ((full >= 4 * area) | both_large)
    least = np.where(full > _LARGE_AREA, _LARGE_AREA, _MEDIUM_AREA) + 1
    return np.where(coverable, visible - np.maximum(least, (1 - _MAX_HIDDEN) * full), 0)


def _paint(rng: np.random.Generator, canvas: Array, item: _Object) -> None:
    """Draw the object with an anti-aliased edge and a fill that stands out from its rim."""
    rim = canvas[:, *item.window][:, np.abs(item.distance) < 1.5]
    height, width = item.distance.shape
    colour = fill(rng, height, width, rim[:, :: 1 + rim.shape[1] // 50])
    blend(canvas, item.top, item.left, np.clip(0.5 - item.distance, 0, 1), colour)


def _annotate(item: _Object, visible: NDArray[np.bool_]) -> dict[str, Any]:
    """The COCO annotation of the object with the visible mask (H, W), without its ids."""
    ys, xs = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    box = [xs[0], ys[0], xs[-1] - xs[0] + 1, ys[-1] - ys[0] + 1]
    # COCO's run lengths go down the columns and begin with a run outside the mask. Objects stay a
    # pixel away from the border, so there is one.
    changes = np.flatnonzero(np.diff(visible.ravel(order="F"))) + 1
    runs = np.diff(np.concatenate([[0], changes, [visible.size]])).tolist()
    return {
        "category_id": item.category_id,
        "bbox": [int(side) for side in box],
        "area": int(np.count_nonzero(visible)),
        "iscrowd": 0,
        "segmentation": {"counts": runs, "size": list(visible.shape)},
    }
