from __future__ import annotations

import pytest
import torch
from torchvision import models
from torchvision.models.detection import ssd300_vgg16

from detectors.detector import Detector
from detectors.weights.place import place
from detectors.weights.torchvision import load_ssd300, resnet_state, vgg16_state
from searchspace import DetectorConfig, papers
from searchspace.backbones import VGG16, ResNet
from searchspace.heads import Multibox
from searchspace.necks.growth import Extend
from searchspace.papers import on_coco
from searchspace.priors import ScaledPriors
from tests.networks import with_statistics

RULE = Multibox(priors=ScaledPriors())


def detector_on(backbone: VGG16 | ResNet) -> Detector:
    neck = (Extend(block="conv"),)
    return Detector(
        DetectorConfig(input_size=96, num_classes=2, backbone=backbone, neck=neck, head=RULE)
    ).eval()


@torch.no_grad()
@pytest.mark.parametrize("depth", [50, 101])
def test_resnets_compute_what_torchvisions_do(depth: int) -> None:
    torch.manual_seed(0)
    theirs = with_statistics(models.get_model(f"resnet{depth}"))
    ours = detector_on(ResNet(depth=depth, taps=("res2", "res5"))).backbone
    placement = place(ours, resnet_state(theirs.state_dict()))
    assert (placement.unplaced, placement.untouched, placement.sliced) == ((), (), ())
    x = torch.rand(1, 3, 96, 96)
    expected = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
    for layer in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
        expected = layer(expected)
    assert torch.equal(ours(x).maps[-1], expected)


@pytest.mark.parametrize("name", ["gfl_r50", "gfl_r101"])
def test_resnets_reach_every_tensor_of_gfls_backbone(name: str) -> None:
    config = papers[name].trial.detector
    with torch.device("meta"):
        theirs = models.get_model(f"resnet{config.backbone.depth}").state_dict()
        ours = Detector(config).backbone.state_dict()
    wanted = {tensor: value.shape for tensor, value in resnet_state(theirs).items()}
    assert wanted == {tensor: value.shape for tensor, value in ours.items()}


@torch.no_grad()
@pytest.mark.parametrize("norm", [False, True])
def test_vgg16_computes_what_torchvisions_does(norm: bool) -> None:
    torch.manual_seed(0)
    theirs = with_statistics(models.vgg16_bn() if norm else models.vgg16())
    ours = detector_on(VGG16(norm=norm, taps=("conv5_3", "fc7"))).backbone
    state = theirs.state_dict()
    placement = place(ours, vgg16_state(state))
    assert (placement.unplaced, placement.sliced) == ((), ())
    assert all("num_batches_tracked" in name for name in placement.untouched)
    # Of sizes that 16 divides, pool3 rounds up and down alike.
    x = torch.rand(1, 3, 96, 96)
    found = ours(x).maps[0]
    assert torch.allclose(found, theirs.features[:-1](x), rtol=1e-3, atol=1e-5)
    window = state["classifier.0.weight"].reshape(4096, 512, 7, 7)
    assert torch.equal(ours.fc6[0].weight[5, 7, 1], window[20, 7, 3, ::3])
    assert torch.equal(ours.fc7[0].weight[5, :, 0, 0], state["classifier.3.weight"][20, ::4])


@torch.no_grad()
def test_the_state_of_torchvisions_ssd300_gives_its_detections() -> None:
    torch.manual_seed(0)
    theirs = ssd300_vgg16(weights=None, weights_backbone=None).eval()
    fields = on_coco("ssd300_vgg16").detector.model_dump()
    fields |= {"num_classes": 90, "pixels": "caffe"}
    fields["head"]["postprocess"]["candidates"] = 20_000
    ours = Detector(DetectorConfig.model_validate(fields)).eval()
    placement = load_ssd300(ours, theirs.state_dict())
    assert (placement.unplaced, placement.untouched, placement.sliced) == ((), (), ())
    images = [torch.rand(3, 300, 300)]
    for found, expected in zip(ours(images), theirs(images), strict=True):
        assert len(expected["scores"]) == 200
        # Boxes that lie outside the image have no area on it, and are no detections of ours.
        there = (expected["boxes"][:, 2:] > expected["boxes"][:, :2]).all(-1)
        expected = {name: values[there] for name, values in expected.items()}
        found = {name: values[: there.sum()] for name, values in found.items()}
        assert there.sum() > 150
        assert torch.equal(found["labels"], expected["labels"])
        assert torch.allclose(found["scores"], expected["scores"], atol=1e-4)
        assert torch.allclose(found["boxes"], expected["boxes"], atol=1e-4 * 300)


def test_another_head_or_other_pixels_are_refused() -> None:
    with torch.device("meta"):
        theirs = ssd300_vgg16(weights=None, weights_backbone=None).state_dict()
        twenty = papers["ssd300_vgg16"].trial.detector
        with pytest.raises(ValueError, match="set pixels"):
            load_ssd300(Detector(twenty), theirs)
        caffe = twenty.model_copy(update={"pixels": "caffe"})
        with pytest.raises(ValueError, match=r"head\.classes.*90 classes"):
            load_ssd300(Detector(caffe), theirs)
