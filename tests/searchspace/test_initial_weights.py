"""Initial weights follow the backbone, and the detector follows them."""

from __future__ import annotations

from collections.abc import Iterator

import optuna
import pytest
from pydantic import ValidationError

from searchspace import OutsideSpace, Space, TrainConfig, TrialConfig, load_space, papers
from searchspace.backbones import CSPDarknet, MobileNetV1, ResNet
from searchspace.detector import DetectorConfig
from searchspace.domains import Choice, Fixed
from searchspace.heads import Multibox
from searchspace.initial_weights import check_start
from searchspace.necks import Aggregate
from searchspace.papers.fssd import OTHER_STARTS
from searchspace.priors import ScaledPriors
from searchspace.training import Frozen

STARTS_OF = {"vgg16": "imagenet", "resnet": "imagenet", "mobilenet_v1": "imagenet"}
RULE = Multibox(priors=ScaledPriors())
AUTO = TrainConfig(weights="auto")


def draws(space: Space, count: int) -> Iterator[TrialConfig]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(count):
        try:
            yield space.suggest(study.ask())
        except ValidationError:
            continue


def presupposed(config: TrialConfig) -> tuple[str, str | None]:
    detector = config.detector
    return detector.pixels, getattr(detector.backbone, "activation", None)


def test_the_papers_start_from_imagenet() -> None:
    for name in papers.keys() - OTHER_STARTS.keys():
        config = papers[name].trial
        expected = STARTS_OF.get(config.detector.backbone.kind, "none")
        assert config.train.weights == expected, name


@pytest.mark.parametrize("name", ["mobile", "papers", "anchor_free", "full"])
def test_their_systems_start_so_in_every_space(name: str) -> None:
    space = load_space(name)
    assert space.domains.get("train.weights") == Fixed("auto")
    for system, config in space.papers().items():
        published = papers[system].trial
        assert config.train.weights == published.train.weights, system
        assert presupposed(config) == presupposed(published), system


@pytest.mark.parametrize("name", ["mobile", "papers", "anchor_free", "full"])
def test_what_is_drawn_names_its_weights_and_is_what_they_presuppose(name: str) -> None:
    space, seen = load_space(name), set()
    for config in draws(space, 60):
        kind = config.detector.backbone.kind
        seen.add(kind)
        assert config.train.weights == STARTS_OF.get(kind, "none")
        mobilenet = kind == "mobilenet_v1"
        expected = ("inception", "relu6") if mobilenet else ("imagenet", None)
        assert presupposed(config) == expected
        params = space.to_params(config)
        assert space.suggest(optuna.trial.FixedTrial(params)) == config
    assert len(seen) == len(space.domains.get("detector.backbone.kind", Choice("")).options)


def test_without_weights_nothing_is_presupposed() -> None:
    space = load_space("mobile").fix("train.weights", "none")
    for config in (space.baseline(), *space.papers().values()):
        assert config.train.weights == "none"
        assert presupposed(config) == ("imagenet", "relu")
        assert space.holds(config)
    assert len(space.papers()) == len(load_space("mobile").papers())


def test_quick_starts_from_what_ships() -> None:
    for config in load_space("quick").papers().values():
        assert (config.train.weights, *presupposed(config)) == ("shapes", "imagenet", "relu")


def test_auto_is_the_nearest_to_weights_that_it_stands_for() -> None:
    space = Space("s", {"train.weights": Choice("none", "auto")})
    assert space.baseline().train.weights == "imagenet"
    assert space.to_params(space.baseline())["train.weights"] == "auto"
    yolox = Space("s", {**load_space("anchor_free").domains, **space.domains})
    assert yolox.nearest(papers["yolox_s"].trial).train.weights == "none"


def test_a_space_may_fix_what_weights_presuppose_and_nothing_else() -> None:
    mobile = load_space("mobile")
    relu6 = "detector.backbone.mobilenet_v1.activation"
    right = mobile.fix("detector.pixels", "inception").fix(relu6, "relu6")
    assert right.holds(right.baseline())
    with pytest.raises(ValidationError, match=r"detector\.pixels 'inception', not 'caffe'"):
        mobile.fix("detector.pixels", "caffe").baseline()


def test_other_pixels_are_outside() -> None:
    config = load_space("mobile").fix("train.weights", "none").baseline()
    odd = config.changed(detector=config.detector.changed(pixels="caffe"))
    with pytest.raises(OutsideSpace, match=r"detector\.pixels"):
        load_space("mobile").fix("train.weights", "none").to_params(odd)


def test_a_trial_says_what_auto_stands_for() -> None:
    mobilenet = TrialConfig(detector=DetectorConfig(head=RULE), train=AUTO).started()
    assert mobilenet.train.weights == "imagenet"
    assert presupposed(mobilenet) == ("inception", "relu6")
    assert mobilenet.started() == mobilenet
    resnet = DetectorConfig(backbone=ResNet(), head=RULE)
    assert TrialConfig(detector=resnet, train=AUTO).started().train.weights == "imagenet"
    darknet = DetectorConfig(backbone=CSPDarknet(), neck=(Aggregate(),), head=RULE)
    assert TrialConfig(detector=darknet, train=AUTO).started().train.weights == "none"
    wide = DetectorConfig(width=1.5, head=RULE)
    assert TrialConfig(detector=wide, train=AUTO).started().train.weights == "none"
    other = DetectorConfig(pixels="caffe", head=RULE)
    with pytest.raises(ValidationError, match=r"detector\.pixels 'inception', not 'caffe'"):
        TrialConfig(detector=other, train=AUTO).started()
    frozen = AUTO.changed(frozen=Frozen(rows=1))
    with pytest.raises(ValidationError, match="frozen: with weights 'none'"):
        TrialConfig(detector=darknet, train=frozen).started()


@pytest.mark.parametrize(
    ("weights", "fields", "message"),
    [
        ("imagenet", {}, "activation|pixels"),
        ("imagenet", {"backbone": MobileNetV1(activation="relu6")}, r"detector\.pixels"),
        ("imagenet", {"backbone": ResNet(), "pixels": "caffe"}, r"detector\.pixels"),
        ("imagenet", {"backbone": CSPDarknet(), "neck": (Aggregate(),)}, "not csp_darknet"),
        ("shapes", {"backbone": ResNet()}, "not resnet: use 'none'"),
        ("shapes", {"width": 0.25, "pixels": "inception"}, r"detector\.pixels 'imagenet'"),
    ],
)  # fmt: skip
def test_weights_that_do_not_go_with_the_detector_are_refused_at_once(
    weights: str, fields: dict[str, object], message: str
) -> None:
    detector = DetectorConfig(head=RULE, **fields)
    with pytest.raises(ValidationError, match=rf"train\.weights '{weights}'.*({message})"):
        TrialConfig(detector=detector, train=TrainConfig(weights=weights))


@pytest.mark.parametrize(
    ("weights", "width", "widest"), [("imagenet", 1.25, 1), ("shapes", 0.5, 0.375)]
)
def test_there_are_no_weights_for_wider_backbones(
    weights: str, width: float, widest: float
) -> None:
    backbone = ResNet() if weights == "imagenet" else MobileNetV1()
    detector = DetectorConfig(backbone=backbone, width=width, head=RULE)
    with pytest.raises(ValueError, match=rf"are for width {widest} or less, not {width}: lower"):
        check_start(weights, detector)
    check_start(weights, detector.changed(width=widest))
    check_start("none", detector)
