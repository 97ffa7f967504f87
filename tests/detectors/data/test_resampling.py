"""Sampling of scenes: what layers, opacity and clips do to pixels, alone and in stacks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from detectors.canvas import GREY
from detectors.data import resampling
from detectors.data.pieces import piece_of
from detectors.data.resampling import Chunk, chunks, sampled
from detectors.data.samples import CPU, Sample
from detectors.data.scene import Scene, joined
from detectors.data.warp import Warp
from searchspace.geometry import Canvas
from tests.detectors.data.scenes import Album

SIDE = 48
CANVAS = Canvas((SIDE, SIDE), "letterbox")


def noise(height: int, width: int, seed: int = 0) -> Sample:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
    return image, {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)}


def seen(scene: Scene, album: Album) -> Tensor:
    return album.seen(scene, CANVAS)[0]


def test_what_is_only_moved_cut_and_mirrored_keeps_its_pixels() -> None:
    album, (image, target) = Album(), noise(60, 70)
    scene = album.scene((image, target)).window(11, 5, SIDE, SIDE)
    assert torch.equal(seen(scene, album), image[:, 5:53, 11:59])
    assert torch.equal(seen(scene.mirrored(), album), image[:, 5:53, 11:59].flip(-1))
    beyond = seen(album.scene((image, target)).window(-8, 40, SIDE, SIDE), album)
    assert torch.equal(beyond[:, :20, 8:], image[:, 40:, :40])
    assert (beyond[:, 20:] == GREY).all()
    assert (beyond[:, :, :8] == GREY).all()


@pytest.mark.parametrize("factor", [2, 3, 7])
def test_a_shrunk_image_keeps_its_mean(factor: int) -> None:
    album, (image, target) = Album(), noise(SIDE * factor, SIDE * factor, factor)
    found = seen(album.scene((image, target)).resized(SIDE, SIDE), album).float()
    assert found.mean() == pytest.approx(float(image.float().mean()), abs=0.5)
    # Noise is averaged, not picked from: a picked pixel would keep the whole deviation.
    assert found.std() < 1.3 * image.float().std() / factor


def test_a_pixel_that_is_half_covered_is_half_of_the_ground() -> None:
    album = Album()
    white = torch.full((3, 10, 10), 254, dtype=torch.uint8)
    scene = album.scene((white, noise(1, 1)[1])).mapped((1, 1), (5.5, 7.25), (SIDE, SIDE))
    found = seen(scene, album)[0]
    assert (found[8:17, 6:15] == 254).all()
    assert (found[8:17, 5] == (254 + GREY) // 2).all()
    assert (found[7, 6:15] == round(0.75 * 254 + 0.25 * GREY)).all()
    assert (found[18:] == GREY).all()


def test_layers_add_up_by_their_opacity() -> None:
    album = Album()
    levels = (40, 200)
    scenes = [
        album.scene((torch.full((3, SIDE, SIDE), level, dtype=torch.uint8), noise(1, 1)[1]))
        for level in levels
    ]
    both = joined((SIDE, SIDE), scenes)
    faint = Scene(
        both.size,
        tuple(
            layer.__class__(layer.source, layer.matrix, layer.clip, share)
            for layer, share in zip(both.layers, (0.25, 0.5), strict=True)
        ),
        both.target,
    )
    expected = 0.25 * levels[0] + 0.5 * levels[1] + 0.25 * GREY
    assert (seen(faint, album).float() - expected).abs().max() <= 0.5


def turned(scene: Scene, degrees: float, shift: tuple[float, float] = (0.0, 0.0)) -> Scene:
    return Warp.about_centre(SIDE, np.radians(degrees), (0.0, 0.0), shift).moved(scene)


@pytest.mark.parametrize("degrees", [1e-7, 90, 180, 270])
def test_a_turn_by_quarters_is_exact(degrees: float) -> None:
    album, (image, target) = Album(), noise(SIDE, SIDE)
    found = seen(turned(album.scene((image, target)), degrees), album)
    expected = torch.rot90(image, -round(degrees / 90), (1, 2))
    assert (found.int() - expected.int()).abs().max() <= 1


@pytest.mark.parametrize("degrees", [5, 30, 77])
def test_what_is_turned_and_shrunk_is_smoothed(degrees: float) -> None:
    album, (image, target) = Album(), noise(4 * SIDE, 4 * SIDE)
    scene = turned(album.scene((image, target)).resized(SIDE, SIDE), degrees)
    inside = seen(scene, album)[:, 12:36, 12:36].float()
    assert inside.std() < 0.35 * image.float().std()
    assert inside.mean() == pytest.approx(float(image.float().mean()), abs=3)


def many(album: Album) -> list[Scene]:
    """Images of all kinds: straight, turned, half transparent, several on one, none."""
    first, second, third = (
        album.scene(noise(h, w, seed)) for seed, (h, w) in enumerate(((60, 90), (31, 20), (90, 64)))
    )
    square = (SIDE, SIDE)
    tiles = [
        first.resized(30, 40).mapped((1, 1), (-12, -5), square),
        turned(second.resized(20, 30).mapped((1, 1), (20, 24), square), 8),
        turned(third.resized(40, 25).mapped((1, 1), (28, 3), square), -25, (3, 1)),
    ]
    return [
        first.placed(CANVAS),
        joined(square, tiles),
        third.window(-40, -30, 200, 150).placed(CANVAS),
        Scene(square, (), first.target),
        joined(square, tiles[1:]).mirrored(),
        joined(square, tiles[::-1]).window(4, 6, 30, 35).placed(CANVAS),
        second.mapped((1, 1), (SIDE, 0), square),
    ]


def test_stacks_of_images_are_sampled_as_each_alone() -> None:
    """A GPU samples many at once, a CPU one by one."""
    album = Album()
    scenes = many(album)
    found = list(chunks(scenes, album, CPU))
    alone = [sampled(one, (SIDE, SIDE), (GREY,) * 3, CPU) for one in found]
    resized = [one.resized is not None for one in found]
    assert set(resized) == {True, False}
    pieces = [[p for layer in s.layers if (p := piece_of(layer, s.size, album))] for s in scenes]
    stacks = tuple(resampling._stacks(pieces))
    assert {stack.turns is None for stack in stacks} == {True, False}
    assert max(len(stack.images) for stack in stacks) >= 3
    together = sampled(Chunk(len(scenes), stacks), (SIDE, SIDE), (GREY,) * 3, CPU)
    for one, other, in_bytes in zip(together, alone, resized, strict=True):
        assert torch.allclose(one, other[0].float(), atol=1.01 if in_bytes else 1e-3)
    assert (together[[3, 6]] == GREY).all()
    assert all((image != GREY).any() for image in together[[0, 1, 2, 4, 5]])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
def test_a_gpu_makes_the_same_pixels() -> None:
    album, gpu = Album(), torch.device("cuda")
    scenes = many(album) * 3
    ours, theirs = (list(chunks(scenes, album, device)) for device in (CPU, gpu))
    there = torch.cat([sampled(one, (SIDE, SIDE), (GREY,) * 3, gpu).cpu() for one in theirs])
    for one, other in zip(ours, there, strict=True):
        here = sampled(one, (SIDE, SIDE), (GREY,) * 3, CPU)[0].float()
        assert torch.allclose(here, other, atol=1.01 if one.resized else 1e-2)


def test_tiles_that_meet_between_two_pixels_share_them() -> None:
    album = Album()
    white = [album.scene((torch.full((3, 20, 20), 250, dtype=torch.uint8), noise(1, 1)[1]))] * 4
    corners = itertools.product((4.3, 24.3), repeat=2)
    tiles = [
        tile.mapped((1, 1), corner, (SIDE, SIDE))
        for tile, corner in zip(white, corners, strict=True)
    ]
    found = seen(joined((SIDE, SIDE), tiles), album)
    assert (found[:, 5:44, 5:44] == 250).all()
    slanted = seen(joined((SIDE, SIDE), [turned(tile, 20) for tile in tiles]), album)
    assert (slanted[:, 14:34, 14:34].int() - 250).abs().max() <= 1
