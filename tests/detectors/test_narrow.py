from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from detectors.detector import Detector
from detectors.dry_run import check_widths, dry_run
from detectors.narrow import narrow

LAYERS: dict[str, tuple[Callable[[], nn.Module], nn.Module]] = {
    "convolution": (lambda: nn.Conv2d(8, 6, 3), nn.Conv2d(5, 4, 3)),
    "depthwise": (lambda: nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(3, 3, 3, groups=3)),
    "without bias": (lambda: nn.Conv2d(8, 6, 1, bias=False), nn.Conv2d(8, 2, 1, bias=False)),
    "deconvolution": (lambda: nn.ConvTranspose2d(8, 6, 2, 2), nn.ConvTranspose2d(3, 4, 2, 2)),
    "deconvolution without bias": (
        lambda: nn.ConvTranspose2d(8, 6, 2, bias=False),
        nn.ConvTranspose2d(3, 4, 2, bias=False),
    ),
    "batch norm": (lambda: nn.BatchNorm2d(8), nn.BatchNorm2d(3)),
    "group norm": (lambda: nn.GroupNorm(4, 32), nn.GroupNorm(4, 12)),
}


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(t.shape) for name, t in module.state_dict().items()}


def channels(layer: nn.Module) -> int:
    return next(
        getattr(layer, name)
        for name in ("in_channels", "num_features", "num_channels")
        if hasattr(layer, name)
    )


@pytest.mark.parametrize("kind", LAYERS)
def test_a_narrowed_layer_is_the_narrow_layer(kind: str) -> None:
    make, wanted = LAYERS[kind]
    layer = make()
    narrow(layer, shapes(wanted))
    layer.load_state_dict(wanted.state_dict())
    assert repr(layer) == repr(wanted)
    image = torch.rand(2, channels(wanted), 6, 6)
    assert torch.equal(layer(image), wanted(image))
    assert {p.requires_grad for p in layer.parameters()} == {True}


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.Conv2d(8, 6, 3), {"weight": (4, 9, 3, 3), "bias": (4,)}, r"narrowed to \[4, 9, 3, 3\]"),
        (nn.Conv2d(8, 6, 3), {"weight": (4, 8, 1, 1), "bias": (4,)}, r"narrowed to \[4, 8, 1, 1\]"),
        (nn.Conv2d(8, 6, 3), {"weight": (0, 8, 3, 3), "bias": (0,)}, r"narrowed to \[0, 8, 3, 3\]"),
        (nn.Conv2d(8, 6, 3), {"weight": (4, 8, 3), "bias": (4,)}, r"narrowed to \[4, 8, 3\]"),
        (nn.Conv2d(8, 6, 3), {"weight": (4, 8, 3, 3)}, "missing or unknown: bias"),
        (nn.GroupNorm(4, 32), {"weight": (10,), "bias": (10,)}, "10 channels in 4 groups"),
        (nn.PReLU(8), {"weight": (4,)}, "narrowing a PReLU is not supported"),
    ],
)
def test_shapes_that_no_layer_can_have_are_refused(
    layer: nn.Module, shape: dict[str, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        narrow(layer, shape)


def changed(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    tensors = load_file(folder / "weights.safetensors")
    change(tensors)
    save_file({n: t.contiguous() for n, t in tensors.items()}, folder / "weights.safetensors")


def test_weights_that_do_not_fit_each_other_name_the_layer(
    make_detector: Callable[..., Detector], tmp_path: Path
) -> None:
    folder = make_detector().save(tmp_path)

    def damage(tensors: dict[str, Tensor]) -> None:
        name = "backbone.layer3.1.0.weight"
        tensors[name] = tensors[name][:, :5]

    changed(folder, damage)
    with pytest.raises(ValueError, match=r"weights\.safetensors: .*backbone\.layer3\.1\.0: "):
        Detector.load(folder)


def test_tensors_of_one_layer_that_differ_are_named(
    make_detector: Callable[..., Detector], tmp_path: Path
) -> None:
    folder = make_detector().save(tmp_path)

    def damage(tensors: dict[str, Tensor]) -> None:
        tensors["backbone.layer3.1.1.bias"] = tensors["backbone.layer3.1.1.bias"][:-1]

    changed(folder, damage)
    with pytest.raises(ValueError, match=r"size mismatch for backbone\.layer3\.1\.1\.bias"):
        Detector.load(folder)


def test_a_dry_run_computes_nothing_and_leaves_the_detector_as_it_is(
    make_detector: Callable[..., Detector],
) -> None:
    detector = make_detector().train()
    before = {name: t.clone() for name, t in detector.state_dict().items()}
    with torch.no_grad():
        wanted = detector.outputs(torch.rand(2, 3, 64, 64))
        detector.load_state_dict(before)
        made = dry_run(detector)
    assert made.predictions.classes.device.type == "meta"
    assert made.predictions.classes.shape[1:] == wanted.predictions.classes.shape[1:]
    assert [m.shape[1:] for m in made.maps] == [m.shape[1:] for m in wanted.maps]
    assert made.predictions.classes.requires_grad
    assert detector.training
    assert all(torch.equal(t, before[n]) for n, t in detector.state_dict().items())


def test_widths_that_fit_raise_nothing(make_detector: Callable[..., Detector]) -> None:
    detector = make_detector()
    check_widths(detector)
    detector.backbone.layer3[1][0] = nn.Conv2d(7, 32, 1)
    with pytest.raises(ValueError, match=r"backbone\.layer3\.1\.0"):
        check_widths(detector)
