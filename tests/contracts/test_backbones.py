"""What every backbone keeps to, those of timm and the one of docs/extending.md among them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import optuna
import pytest
import timm
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import nn

from compress.plan import Plan, replay
from compress.pruning import prune
from compress.timm_table import facts, tags, with_noise
from detectors.backbones import build_backbone
from detectors.describe import describe, describe_layers
from detectors.detector import Detector
from detectors.runtimes.fold import folded
from detectors.weights.imagenet import load_imagenet_backbone
from detectors.weights.published import WeightsUnavailable
from searchspace import Space, TrialConfig, load_plugins, load_space, plugins
from searchspace.backbones import BACKBONES, Backbone, Timm
from searchspace.backbones.timm_models import known, models, refusals
from searchspace.compression import CompressConfig, ImportancePruning
from searchspace.detector import DetectorConfig
from searchspace.heads import Multibox
from searchspace.necks.growth import Extend
from searchspace.priors import ScaledPriors
from searchspace.training import Frozen
from tests.documents import example
from tests.fewer import few
from tests.networks import with_statistics

SAMPLE = (
    "test_resnet", "mobilenetv3_small_050", "efficientnet_b0", "regnety_002", "dla46_c",
    "hrnet_w18_small", "vgg11_bn", "densenet121", "ghostnet_050", "mobileone_s0", "repvgg_a0",
    "res2net50_26w_4s", "cs3darknet_s", "lcnet_050", "starnet_s1", "inception_v3",
    "ese_vovnet19b_dw", "mobilevit_xxs", "tf_mixnet_s",
)  # fmt: skip
"""Models of timm, each of another family."""

FAST = ("test_resnet", "mobilenetv3_small_050", "hrnet_w18_small", "vgg11_bn", "mobilevit_xxs")

PRUNED = ("test_resnet", "test_efficientnet", "test_byobnet", "lcnet_050", "regnety_002")
SIZES = ((96, 160), (97, 131), (150, 129), (224, 127))
RULE = Multibox(priors=ScaledPriors())


@pytest.fixture
def own_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The backbone of the documentation is there, until the test ends."""
    file = tmp_path / "example_of_a_backbone.py"
    file.write_text(example("A backbone of your own"), encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(plugins, "_loaded", {})
    before = dict(BACKBONES._members)
    load_plugins([file])
    yield
    del sys.modules[file.stem]
    BACKBONES._members = before
    BACKBONES._adapter = None


def on(backbone: Backbone, **fields: object) -> DetectorConfig:
    neck = (Extend(block="conv"),)
    given = {"input_size": 64, "num_classes": 2, "width": 0.25, "neck": neck, "head": RULE}
    return DetectorConfig(**{**given, "backbone": backbone, **fields})


def check_maps(backbone: Backbone, size: tuple[int, int]) -> None:
    with torch.device("meta"):
        made = build_backbone(backbone, 0.5).eval()(torch.empty(2, 3, *size))
    declared = backbone.levels(0.5, size)
    real = [tuple(x.shape[1:]) for x in made.maps]
    assert real == [(level.channels, *level.size) for level in declared.maps]
    assert made.top.shape[1] == declared.top.channels


@pytest.mark.parametrize("kind", [*BACKBONES.by_kind, "plain"])
def test_a_kind_keeps_the_contract(own_kind: None, kind: str) -> None:
    backbone = BACKBONES.by_kind[kind]()
    for size in SIZES:
        check_maps(backbone, size)
    assert isinstance(backbone.in_words(), str)
    assert isinstance(backbone.unprunable(), str | None)
    assert {*backbone.weights_by} <= {*type(backbone).model_fields}
    config = on(backbone)
    started = TrialConfig(detector=config, train={"weights": "auto"}).started()
    weights = started.train.weights
    assert weights == ("imagenet" if "imagenet" in backbone.starts() else "none")
    for path, value in backbone.starts().get(weights, {}).items():
        assert attrgetter(path)(started.detector) == value


@pytest.mark.parametrize("kind", [*BACKBONES.by_kind, "plain"])
def test_what_is_frozen_learns_nothing(own_kind: None, kind: str) -> None:
    backbone = BACKBONES.by_kind[kind]()
    with torch.device("meta"):
        module = build_backbone(backbone, 0.25).train()
    learning = []
    for rows in range(backbone.stages + 1):
        module.freeze(Frozen(rows=rows))
        learning.append(sum(p.numel() for p in module.parameters() if p.requires_grad))
    assert learning[0] == sum(p.numel() for p in module.parameters())
    assert learning == sorted(learning, reverse=True)
    assert learning[-1] == 0
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(norm.training for norm in norms)
    module.freeze(Frozen())
    assert all(norm.training for norm in norms)


@pytest.mark.parametrize("name", few(SAMPLE, *FAST))
def test_maps_of_timm_are_those_of_the_table_for_any_size(name: str) -> None:
    model = known(name)
    backbone = Timm(name=name, taps=tuple(model.maps))
    step = model.multiple
    for size in SIZES:
        rounded = tuple(-(-side // step) * step for side in size)
        if rounded != size:
            with pytest.raises(ValidationError, match=f"{name} takes sides that are multiples"):
                on(backbone, input_size=size)
        check_maps(backbone, rounded)


@pytest.mark.parametrize("name", ["test_resnet", "dla46_c", "inception_v3", "densenet121"])
def test_the_table_says_what_timm_says(name: str) -> None:
    model, found = known(name), facts(name)
    assert [list(row) for row in found["maps"]] == [
        [m.channels, m.stride, m.offset] for m in model.maps.values()
    ]
    assert found.get("first", 0) == next(iter(model.maps.values())).index
    assert found.get("multiple", 1) == model.multiple
    assert tags(name) == model.tags


def test_the_table_knows_every_model_of_the_installed_timm() -> None:
    assert {*models(), *refusals()} == {*timm.list_models()}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"name": "resnet19"},
            r"name\n.*'resnet19' is not a model of timm[^;]*; the nearest are resnet18, ",
        ),
        ({"name": "swin_tiny_patch4_window7_224"}, "cannot be a backbone: it "),
        ({"name": "resnet18.in22k"}, "'in22k' are no weights of timm's resnet18: it has .*in1k"),
        ({"taps": (8, 12)}, r"taps \[8, 12\]: the maps of resnet18 have strides \[2, 4, 8, 16, 32"),
        ({"taps": (32, 16)}, "name each once, finest first"),
    ],
)
def test_what_timm_does_not_have_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Timm(**fields)


def test_a_space_with_an_unknown_model_is_refused_when_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        "[detector.backbone]\nkind = 'timm'\n[detector.backbone.timm]\n"
        "name = { choice = ['resnet18', 'mobilenetv3_smal_050'] }\n"
    )
    with pytest.raises(ValueError, match=r"backbone\.timm\.name.*are mobilenetv3_small_050"):
        load_space(file)


def test_another_network_under_the_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Timm, "indices", property(lambda self: (0, 1)))
    with torch.device("meta"), pytest.raises(ValueError, match=r"name 'resnet18'.*another network"):
        build_backbone(Timm(), 1)


def pruning(ratio: float = 0.4) -> CompressConfig:
    return CompressConfig(
        pruning=ImportancePruning(criterion="l2", steps=1, ratio=ratio, finetune_epochs=0)
    )


@pytest.mark.parametrize("name", [name for name in SAMPLE if known(name).whole])
def test_models_that_cannot_be_pruned_say_so_at_once(name: str) -> None:
    step = known(name).multiple
    detector = on(Timm(name=name), input_size=-(-96 // step) * step)
    with pytest.raises(ValidationError, match=rf"compress\.pruning 'importance'.*timm {name} \("):
        TrialConfig(detector=detector, compress=pruning())
    assert TrialConfig(detector=detector).detector == detector


@pytest.mark.parametrize("name", few([*PRUNED, "plain"], "test_resnet", "test_byobnet", "plain"))
def test_the_others_are_pruned_and_their_plans_replayed(own_kind: None, name: str) -> None:
    own = name in BACKBONES.by_kind
    config = TrialConfig(
        detector=on(BACKBONES.by_kind[name]() if own else Timm(name=name)), compress=pruning()
    )
    detector = with_noise(Detector(config.detector))
    twin = Detector(config.detector)
    twin.load_state_dict(detector.state_dict())
    before = sum(p.numel() for p in detector.backbone.parameters())
    plan = prune(detector, config.compress.pruning)
    assert sum(p.numel() for p in detector.backbone.parameters()) < 0.8 * before
    replay(twin, Plan.model_validate_json(plan.model_dump_json()))
    loaded = Detector(config.detector).load_tensors(detector.state_dict())
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        wanted = detector.eval().predict(images).classes
        assert torch.equal(twin.eval().predict(images).classes, wanted)
        assert torch.equal(loaded.predict(images).classes, wanted)


@torch.no_grad()
@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_byobnet", "repvgg_a0"])
def test_a_timm_backbone_is_folded_and_described_layer_by_layer(name: str) -> None:
    detector = with_noise(Detector(on(Timm(name=name, taps=(8, 16)))))
    fast = folded(detector)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in fast.modules())
    images = torch.rand(1, 3, 64, 64)
    wanted = detector.predict(images).boxes
    scale = wanted.abs().max().item()
    torch.testing.assert_close(fast.predict(images).boxes, wanted, rtol=1e-3, atol=1e-4 * scale)
    layers, whole = describe_layers(detector), describe(detector)
    assert sum(layer.params for layer in layers) == whole.params
    assert sum(layer.macs for layer in layers) == whole.macs
    assert sum(layer.part == "backbone" for layer in layers) > 3
    assert all(layer.outputs for layer in layers)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "lcnet_050"])
def test_nothing_after_the_last_tap_is_built(name: str) -> None:
    module = build_backbone(Timm(name=name, taps=(4, 8)), 1).train()
    made = module(torch.rand(2, 3, 64, 64)).maps
    sum(x.sum() for x in made).backward()
    assert [n for n, p in module.named_parameters() if p.grad is None] == []


@pytest.fixture
def published(tmp_path: Path) -> tuple[Timm, nn.Module]:
    """A backbone whose weights lie in a folder, and timm's whole network that has them."""
    backbone = Timm(name="test_efficientnet.r160_in1k", taps=(8, 16))
    network = with_statistics(timm.create_model("test_efficientnet", pretrained=False))
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, tmp_path / "test_efficientnet.r160_in1k.safetensors")
    return backbone, network


@torch.no_grad()
def test_weights_of_a_folder_make_it_compute_what_timm_does(
    published: tuple[Timm, nn.Module], tmp_path: Path
) -> None:
    backbone, network = published
    detector = Detector(on(backbone)).eval()
    assert load_imagenet_backbone(detector, tmp_path).missing == ()
    x = torch.rand(1, 3, 64, 64)
    _, expected = network.forward_intermediates(x, indices=[2, 3])
    for found, wanted in zip(detector.backbone(x).maps, expected, strict=True):
        torch.testing.assert_close(found, wanted)
    (tmp_path / "test_efficientnet.r160_in1k.safetensors").unlink()
    with pytest.raises(WeightsUnavailable, match=r"no test_efficientnet\.r160_in1k\.safetensors"):
        load_imagenet_backbone(detector, tmp_path)


TWO = """
[detector.backbone]
kind = { choice = ["resnet", "timm"] }
[detector.backbone.timm]
name = { choice = ["test_resnet", "test_efficientnet"] }
taps = { choice = [[16, 32], [8, 16, 32]] }
"""


def space_of_two(tmp_path: Path) -> Space:
    file = tmp_path / "two.toml"
    file.write_text(TWO)
    return load_space(file)


def test_a_space_draws_timm_backbones_and_finds_them_again(tmp_path: Path) -> None:
    space, seen = space_of_two(tmp_path), set()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(40):
        try:
            config = space.suggest(study.ask())
        except ValidationError:
            continue
        backbone = config.detector.backbone
        seen.add(getattr(backbone, "name", backbone.kind))
        params = space.to_params(config)
        assert space.suggest(optuna.trial.FixedTrial(params)) == config
        assert space.nearest(config) == config
    assert seen == {"resnet", "test_resnet", "test_efficientnet"}
    elsewhere = space.baseline()
    assert elsewhere.detector.backbone.kind in ("resnet", "timm")
    far = elsewhere.changed(detector=on(Timm(name="resnet18", taps=(8, 16))))
    assert space.nearest(far).detector.backbone.name == "test_resnet"


def test_weights_follow_the_model() -> None:
    def start(name: str) -> tuple[str, str]:
        given = TrialConfig(detector=on(Timm(name=name)), train={"weights": "auto"}).started()
        return given.train.weights, given.detector.pixels

    assert start("resnet18") == ("imagenet", "imagenet")
    assert start("tf_efficientnet_b0.in1k") == ("imagenet", "imagenet")
    assert start("tf_efficientnet_b0.ap_in1k") == ("imagenet", "inception")
    assert start("darknet17") == ("none", "imagenet")
    with pytest.raises(ValidationError, match=r"holds .*timm, not timm darknet17: use 'none'"):
        TrialConfig(detector=on(Timm(name="darknet17")), train={"weights": "imagenet"})
