"""Changes of colour against torchvision's, in value and in distribution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from detectors.data.colours import UNCHANGED, Colours, coloured

CHANGES = [
    Colours(brightness=1.12),
    Colours(brightness=0.88),
    Colours(contrast=1.5),
    Colours(contrast=0.5, contrast_first=False),
    Colours(saturation=1.4),
    Colours(saturation=0.5),
    Colours(hue=0.05),
    Colours(hue=-0.05),
    Colours(hue=0.5),
    Colours(order=(2, 0, 1)),
    Colours(1.1, 0.7, True, 1.3, -0.03, (1, 0, 2)),
    Colours(0.9, 1.4, False, 0.6, 0.04, (2, 1, 0)),
    UNCHANGED,
]


def images(count: int) -> Tensor:
    """Noise, with pixels in which channels are equal, black and white among them."""
    made = torch.rand(count, 3, 24, 31, generator=torch.Generator().manual_seed(count)) * 255
    made[:, :, 0] = made[:, :1, 0]
    made[:, :, 1, ::2] = made[:, 1:2, 1, ::2].round()
    made[:, 1, 2] = made[:, 0, 2]
    made[:, :, 3, :9], made[:, :, 3, 9:] = 0, 255
    return made


def theirs(image: Tensor, colours: Colours) -> Tensor:
    """The same by torchvision's functions, in the order of `RandomPhotometricDistort`."""
    image = functional.adjust_brightness(image / 255, colours.brightness)
    if colours.contrast_first:
        image = functional.adjust_contrast(image, colours.contrast)
    image = functional.adjust_saturation(image, colours.saturation)
    image = functional.adjust_hue(image, colours.hue)
    if not colours.contrast_first:
        image = functional.adjust_contrast(image, colours.contrast)
    return functional.permute_channels(image, list(colours.order)) * 255


@pytest.mark.parametrize("colours", CHANGES)
def test_colours_are_those_of_torchvision(colours: Colours) -> None:
    image = images(1)
    expected = theirs(image[0], colours)
    assert torch.allclose(coloured(image, [colours])[0], expected, atol=0.02)


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    batch = images(len(CHANGES))
    alone = torch.cat(
        [coloured(one[None].clone(), [c]) for one, c in zip(batch, CHANGES, strict=True)]
    )
    assert torch.allclose(coloured(batch.clone(), CHANGES), alone, atol=1e-3)
    assert torch.equal(coloured(batch.clone(), CHANGES)[-1], batch[-1])


def test_draws_are_distributed_like_torchvisions() -> None:
    torch.manual_seed(0)
    transform, rng = v2.RandomPhotometricDistort(), np.random.default_rng(0)
    image = tv_tensors.Image(torch.zeros(3, 8, 8))
    drawn = [transform.make_params([image]) for _ in range(2000)]
    ours = [Colours.drawn(rng) for _ in range(2000)]
    for name in ("brightness", "contrast", "saturation", "hue"):
        usual = getattr(UNCHANGED, name)
        expected = [float(d[f"{name}_factor"]) for d in drawn if d[f"{name}_factor"] is not None]
        found = [value for c in ours if (value := getattr(c, name)) != usual]
        assert len(found) / 2000 == pytest.approx(0.5, abs=0.04)
        assert ks_2samp(expected, found).pvalue > 0.001, name
    assert sum(c.contrast_first for c in ours) / 2000 == pytest.approx(0.5, abs=0.04)
    orders = {c.order for c in ours}
    assert len(orders) == 6
    # A permutation of three channels leaves them in order in one case of six.
    changed = sum(c.order != (0, 1, 2) for c in ours) / 2000
    assert changed == pytest.approx(0.5 * 5 / 6, abs=0.04)


def test_parts_are_drawn_independently() -> None:
    rng = np.random.default_rng(1)
    found = [Colours.drawn(rng) for _ in range(1500)]
    flags = np.array([
        [c.brightness != 1, c.contrast != 1, c.saturation != 1, c.hue != 0, c.contrast_first]
        for c in found
    ])  # fmt: skip
    correlations = np.corrcoef(flags.T) - np.eye(5)
    assert np.abs(correlations).max() < 0.1
    assert replace(UNCHANGED, contrast_first=False) != UNCHANGED
