from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from detectors.detector import Detector
from detectors.weights.place import Placement, inherit, place
from detectors.weights.shapes import SHAPES_WIDTHS, load_shapes_backbone, save_backbone
from searchspace import DetectorConfig, papers
from searchspace.backbones import MobileNetV1

MakeDetector = Callable[..., Detector]


def layers() -> nn.Sequential:
    """A convolution, its batch norm, a depthwise convolution."""
    return nn.Sequential(
        nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, groups=6, bias=False)
    )


def test_each_tensor_is_copied_sliced_or_named_as_unplaced() -> None:
    module = layers()
    before = {name: t.clone() for name, t in module.state_dict().items()}
    source = {
        "0.weight": torch.randn(8, 6, 3, 3),
        "1.weight": torch.rand(6).half(),
        "1.bias": torch.rand(5),
        "1.running_mean": torch.rand(9),
        "2.weight": torch.randn(7, 1, 3, 3),
        "2.bias": torch.rand(6),
        "1.running_var": torch.rand(6, 1),
    }
    placement = place(module, source)
    assert placement == Placement(
        copied=("1.weight",),
        sliced=("0.weight", "1.running_mean", "2.weight"),
        unplaced=("1.bias", "2.bias", "1.running_var"),
        untouched=("1.bias", "1.running_var", "1.num_batches_tracked"),
    )
    after = module.state_dict()
    assert torch.equal(after["1.weight"], source["1.weight"].float())
    # Fewer input channels (4 of 6) are made up for; a depthwise convolution has one either way.
    assert torch.allclose(after["0.weight"], source["0.weight"][:6, :4] * (6 / 4))
    assert torch.equal(after["1.running_mean"], source["1.running_mean"][:6])
    assert torch.equal(after["2.weight"], source["2.weight"][:6])
    for name in placement.untouched:
        assert torch.equal(after[name], before[name])


def test_a_tensor_narrower_in_one_dimension_is_not_placed() -> None:
    module = layers()
    placement = place(module, {"0.weight": torch.randn(8, 3, 3, 3)})
    assert placement.unplaced == ("0.weight",)
    assert "0.weight" in placement.untouched


def test_a_tensor_of_another_kernel_is_not_placed() -> None:
    placement = place(layers(), {"0.weight": torch.randn(8, 6, 5, 5)})
    assert placement.unplaced == ("0.weight",)


def test_inputs_of_transposed_convolutions_come_first() -> None:
    module, weight = nn.Sequential(nn.ConvTranspose2d(4, 6, 2)), torch.randn(8, 9, 2, 2)
    assert place(module, {"0.weight": weight}).sliced == ("0.weight",)
    assert torch.allclose(module[0].weight, weight[:4, :6] * 2)


RELATIVES = [
    ("ssdmnetv1", "ssdmnetv1_s2l0-6"),
    ("ssdmnetv1", "ssdmnetv1_s1l0_dualpath19_10_s"),
    ("ssdmnetv1_s1l0", "ssdmnetv1_s1l0_fmap1"),
    ("ssdmnetv1_yaml", "ssdmnetv1_anchor10"),
    ("ssd_vgg16_003", "ssd_vgg16_s1l2"),
    ("ssd_vgg16_003", "ssd_vgg16_s1l2_dualpath"),
]


def narrow_system(name: str, **changes: object) -> Detector:
    config = papers[name].trial.detector
    return Detector(DetectorConfig.model_validate({**dict(config), "width": 0.125, **changes}))


@pytest.mark.parametrize(("stock", "relative"), RELATIVES)
def test_detectors_with_equal_shapes_inherit_everything(stock: str, relative: str) -> None:
    torch.manual_seed(0)
    source, target = narrow_system(stock), narrow_system(relative)
    placement = inherit(target, source)
    state = source.state_dict()
    assert placement == Placement(tuple(state), (), (), ())
    assert all(torch.equal(t, state[name]) for name, t in target.state_dict().items())


def test_a_narrower_detector_inherits_the_first_channels() -> None:
    source, target = narrow_system("mfssd_bn", width=0.25), narrow_system("mfssd_bn")
    placement = inherit(target, source)
    assert (placement.unplaced, placement.untouched) == ((), ())
    assert "neck.fuse1.transforms.0.0.weight" in placement.sliced
    wide = source.backbone.conv1_1[0].weight
    assert torch.equal(target.backbone.conv1_1[0].weight, wide[: len(wide) // 2])


def test_a_joined_second_path_inherits_all_but_what_it_widens() -> None:
    source = narrow_system("ssdmnetv1_s1l0_fmap1")
    placement = inherit(narrow_system("ssdmnetv1_s1l0_dualpath19_c"), source)
    widened = ("neck.extend1.blocks.0.0.0.weight", "head.boxes.1.weight", "head.classes.1.weight")
    assert placement.unplaced == placement.untouched == widened
    assert placement.sliced == ()


def test_other_classes_are_not_inherited() -> None:
    source, target = narrow_system("ssdmnetv1"), narrow_system("ssdmnetv1", num_classes=3)
    placement = inherit(target, source)
    assert placement.unplaced == ()
    assert {name.rpartition(".")[0] for name in placement.untouched} == {
        f"head.classes.{level}" for level in range(6)
    }


def test_a_saved_backbone_fits_one_of_its_width_and_is_sliced_for_narrower(
    make_detector: MakeDetector, tmp_path: Path
) -> None:
    wide, file = make_detector(seed=1, width=0.375), tmp_path / "backbone.safetensors"
    save_backbone(wide.backbone, file)
    weights = load_file(file)
    assert {t.dtype for t in weights.values()} == {torch.float16}
    fitting = make_detector(seed=2, width=0.375, strides=(0,))
    placement = place(fitting.backbone, weights)
    assert set(placement.copied) == set(weights)
    for name, tensor in fitting.backbone.state_dict().items():
        if name in weights:
            expected = wide.backbone.state_dict()[name]
            assert torch.allclose(tensor, expected, rtol=1e-3, atol=1e-6)
    placement = place(make_detector(width=0.25).backbone, weights)
    assert placement.unplaced == ()
    assert set(placement.sliced) | set(placement.copied) == set(weights)
    assert all("num_batches_tracked" in name for name in placement.untouched)


def test_shapes_weights_are_refused_where_there_are_none(make_detector: MakeDetector) -> None:
    width = SHAPES_WIDTHS[-1] + 0.125
    with pytest.raises(ValueError, match=rf"train\.weights 'shapes'.*not {width}: lower .*'none'"):
        load_shapes_backbone(make_detector(width=width))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pixels": "caffe"}, r"detector\.pixels 'imagenet', not 'caffe'"),
        (
            {"backbone": MobileNetV1(activation="relu6")},
            r"detector\.backbone\.activation 'relu', not 'relu6'",
        ),
    ],
)
def test_shapes_weights_are_refused_for_another_function(
    make_detector: MakeDetector, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"train\.weights 'shapes'.*{message}: set it to that"):
        load_shapes_backbone(make_detector(**fields))


@pytest.mark.parametrize("width", [*SHAPES_WIDTHS, SHAPES_WIDTHS[0] / 2])
def test_shapes_weights_fill_a_backbone(make_detector: MakeDetector, width: float) -> None:
    detector = make_detector(width=width)
    before = {name: t.clone() for name, t in detector.backbone.state_dict().items()}
    placement = load_shapes_backbone(detector)
    assert placement.unplaced == ()
    assert all("num_batches_tracked" in name for name in placement.untouched)
    after = detector.backbone.state_dict()
    assert not torch.equal(after["layer13.1.0.weight"], before["layer13.1.0.weight"])
    assert bool(placement.sliced) == (width not in SHAPES_WIDTHS)
