"""What every neck step, form of a neck, prior rule and head keeps to, those of docs/extending.md
among them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.samplers import RandomSampler
from optuna.trial import FixedTrial
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from detectors.building import module_for
from detectors.describe import describe
from detectors.detector import Detector
from detectors.features import Features
from detectors.matching import Objects
from detectors.runtimes.onnx_graph import onnx_graph
from searchspace import DetectorConfig, TrialConfig, load_space, project, suggest, to_params
from searchspace.backbones import MobileNetV1
from searchspace.domains import Fixed
from searchspace.geometry import Level, Levels
from searchspace.heads import HEADS, Head, Multibox
from searchspace.neck_forms import NECK_FORMS
from searchspace.necks import NECK_STEPS, Extend, Growth, NeckStep, Pyramid, Step
from searchspace.necks.deconvolution import Deconvolve, FusionBlock
from searchspace.necks.dual_path import Join, Split
from searchspace.necks.fusion import Fuse, Source
from searchspace.priors import PRIOR_RULES, ScaledPriors
from searchspace.training import SmallObjects
from tests.documents import example, plugin

OWN = {
    "A neck step": ("squeeze_excite", NECK_STEPS, NECK_FORMS),
    "A prior rule": ("even", PRIOR_RULES),
    "A head": ("focal", HEADS),
}
"""Of each example: the kind that it registers, and where."""


@pytest.fixture(scope="module", autouse=True)
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("plugins")
    with ExitStack() as stack:
        for number, (heading, (_, *registries)) in enumerate(OWN.items()):
            file = folder / f"example_of_the_composition_{number}.py"
            stack.enter_context(plugin(file, heading, *registries))
        yield


# ---- neck steps

TAPS = ("layer5", "layer11", "layer13")
BEFORE = MobileNetV1(taps=TAPS, eliminated_strides=(12,), second_path=True).levels(0.125, (96, 128))
"""Maps of 12x16, 6x8 and 6x8 cells, and a side map of 3x4."""

RULE = Multibox(priors=ScaledPriors())
STEPS: dict[str, NeckStep] = {
    "fuse": Fuse(sources=tuple(Source(level=level, channels=64) for level in range(3))),
    "deconvolve": Deconvolve(
        blocks=(FusionBlock(level=0, source=1, deconv_channels=(64,), channels=64),)
    ),
    "join": Join(level=3, side=0, feeds_growth=True),
    "split": Split(side=0),
}
"""Steps that have no defaults."""
STEP_KINDS = [*NECK_STEPS.by_kind, "squeeze_excite"]


def step_of(kind: str) -> NeckStep:
    return STEPS[kind] if kind in STEPS else NECK_STEPS.by_kind[kind]()


def before(kind: str) -> Levels:
    """The maps that a step is given; a join has one of the side map's cells."""
    if kind != "join":
        return BEFORE
    return Levels((*BEFORE.maps, Level(8, *BEFORE.side[0].size)), BEFORE.top, BEFORE.side)


def features_for(levels: Levels) -> Features:
    """Tensors as levels declare them; `top` is the last map where it is declared the same."""
    generator = torch.Generator().manual_seed(0)

    def made(level: Level) -> Tensor:
        return torch.rand(2, level.channels, *level.size, generator=generator)

    maps = [made(level) for level in levels.maps]
    same = [x for x, level in zip(maps, levels.maps, strict=True) if level is levels.top]
    return Features(maps, same[-1] if same else made(levels.top), [made(x) for x in levels.side])


def sizes(features: Features | Levels) -> list[Any]:
    """Channels, height and width of all maps, of `top` and of the side maps."""
    groups = (features.maps, [features.top], features.side)
    if isinstance(features, Levels):
        return [[(x.channels, *x.size) for x in group] for group in groups]
    return [[tuple(x.shape[1:]) for x in group] for group in groups]


@pytest.mark.parametrize("width", [0.5, 1.0])
@pytest.mark.parametrize("kind", STEP_KINDS)
def test_a_step_makes_the_maps_that_it_declares_and_every_weight_learns(
    kind: str, width: float
) -> None:
    step, given = step_of(kind), before(kind)
    after = step.levels(given, width)
    module = module_for(step)(step, given, width).train()
    features = features_for(given)
    kept = Features([x.clone() for x in features.maps], features.top.clone(), features.side)
    made = module(features)
    assert sizes(made) == sizes(after)
    # `top` is another map exactly where that is declared, by which idle steps are found.
    assert (made.top is features.top) == (after.top is given.top)
    assert len(features.maps) == len(kept.maps)
    assert all(x.equal(y) for x, y in zip(features.maps, kept.maps, strict=True))
    assert after.refined <= set(range(len(after.maps)))
    if any(True for _ in module.parameters()):
        sum(x.square().sum() for x in (*made.maps, made.top)).backward()
    assert [name for name, p in module.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("kind", STEP_KINDS)
def test_a_step_says_what_it_reads(kind: str) -> None:
    step, given = step_of(kind), before(kind)
    after = step.levels(given, 1)
    if not step.reads_side:
        assert step.levels(Levels(given.maps, given.top), 1).maps == after.maps
    else:
        with pytest.raises(ValueError, match="side"):
            step.levels(Levels(given.maps, given.top), 1)
    other = Levels(given.maps, given.top.with_channels(8), given.side)
    small = Levels(given.maps, Level(8, 2, 2), given.side)
    if not step.reads_top:
        assert step.levels(other, 1).maps == step.levels(small, 1).maps == after.maps
    else:
        assert step.levels(small, 1).maps != after.maps
    if step.only_sets_top:
        assert after.maps is given.maps
        assert after.top is not given.top


@pytest.mark.parametrize("kind", STEP_KINDS)
def test_a_step_comes_back_from_json_and_through_the_walk(kind: str) -> None:
    step = step_of(kind)
    adapter = TypeAdapter(Step)
    assert adapter.validate_json(adapter.dump_json(step)) == step
    assert adapter.validate_python(step.model_dump()) == step
    assert "\n" not in step.in_words()
    if step.reads_side:
        return  # a detector with a second path has a form of its own
    domains = {
        "backbone.mobilenet_v1.taps": Fixed(TAPS),
        "neck.kind": Fixed("listed"),
        "neck.listed.steps": Fixed((step,)),
    }
    config = DetectorConfig(backbone=MobileNetV1(taps=TAPS), neck=(step,), head=RULE)
    assert project(config, domains) == config
    assert suggest(FixedTrial(to_params(config, domains)), DetectorConfig, domains) == config


class Alone(nn.Module):
    """A step as a function of tensors, which is what a tracer sees."""

    def __init__(self, step: nn.Module, count: int) -> None:
        super().__init__()
        self.step, self.count = step, count

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        maps, [top, *side] = [*tensors[: self.count]], tensors[self.count :]
        made = self.step(Features(maps, top, side))
        return (*made.maps, made.top)


@pytest.mark.parametrize("kind", STEP_KINDS)
def test_a_step_can_be_exported(kind: str) -> None:
    step, given = step_of(kind), before(kind)
    features = features_for(given)
    alone = Alone(module_for(step)(step, given, 1.0), len(given.maps)).eval()
    tensors = (*features.maps, features.top.clone(), *features.side)
    buffer = io.BytesIO()
    torch.onnx.export(alone, tensors, buffer, dynamo=False, opset_version=17)
    assert len(buffer.getvalue()) > 100


# ---- forms of necks


@pytest.mark.parametrize("kind", [*NECK_FORMS.by_kind, "weighed"])
def test_a_form_is_drawn_written_and_read_back(kind: str) -> None:
    domains = {"neck.kind": Fixed(kind), "backbone.mobilenet_v1.taps": Fixed(TAPS)}
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    built = 0
    for _ in range(12):
        try:
            config = suggest(study.ask(), DetectorConfig, domains)
        except ValidationError:
            continue
        params = to_params(config, domains)
        assert suggest(FixedTrial(params), DetectorConfig, domains) == config
        assert project(config, domains) == config
        assert config.neck == DetectorConfig.model_validate_json(config.model_dump_json()).neck
        built += 1
    assert built >= 2


# ---- prior rules


@pytest.mark.parametrize("kind", [*PRIOR_RULES.by_kind, "even"])
def test_a_rule_gives_each_level_the_priors_that_it_declares(kind: str) -> None:
    config = DetectorConfig(head=Multibox(priors=PRIOR_RULES.by_kind[kind]()), width=0.25)
    for priors in config.priors():
        assert 0 < priors.min_size < priors.max_size
    head = Detector(config).head
    counts = describe(config).priors_per_level
    assert counts == head.counts
    assert len(head.priors) == sum(counts)
    assert head.priors.isfinite().all()
    assert DetectorConfig.model_validate_json(config.model_dump_json()) == config
    larger = config.at_input_size(320)
    assert len(larger.priors()) == len(config.priors())
    domains = {"head.multibox.priors.kind": Fixed(kind)}
    stock = DetectorConfig(head=Multibox(priors=PRIOR_RULES.by_kind[kind]()), num_classes=80)
    assert project(stock, domains).head.priors.kind == kind


# ---- heads

HEAD_KINDS = [*HEADS.by_kind, "focal"]
OBJECTS = Objects(
    boxes=torch.tensor([[[0.1, 0.1, 0.4, 0.5], [0.5, 0.3, 0.9, 0.95]]] * 2),
    labels=torch.ones(2, 2, dtype=torch.long),
    small=torch.zeros(2, 2, dtype=torch.bool),
    valid=torch.ones(2, 2, dtype=torch.bool),
)


def head_of(kind: str) -> Head:
    return RULE if kind == "multibox" else HEADS.by_kind[kind]()


def detector_with(kind: str, num_classes: int) -> Detector:
    """A small detector whose maps have equal channels, which any head can read."""
    torch.manual_seed(0)
    neck = (Pyramid(), Extend(block="plain", norm=False, grow=(Growth(channels=256),)))
    return Detector(
        DetectorConfig(
            input_size=(64, 96), num_classes=num_classes, width=0.25, neck=neck, head=head_of(kind)
        )
    )


@pytest.mark.parametrize("num_classes", [1, 2, 80])
@pytest.mark.parametrize("kind", HEAD_KINDS)
def test_a_head_learns_any_number_of_classes(kind: str, num_classes: int) -> None:
    detector = detector_with(kind, num_classes).train()
    head, count = detector.head, len(detector.head.priors)
    outputs = detector.outputs(torch.rand(2, 3, 64, 96))
    predictions = outputs.predictions
    boxes, scores = head.boxes_of(predictions), head.scores_of(predictions)
    assert boxes.shape == (2, count, 4)
    assert scores.shape == (2, count, num_classes)
    assert 0 <= scores.min() <= scores.max() <= 1
    losses = detector.losses(outputs, OBJECTS, SmallObjects(weight=2))
    sum(losses.values()).backward()
    assert all(x.isfinite() for x in losses.values())
    assert [n for n, p in detector.named_parameters() if p.grad is None] == []
    with torch.no_grad():
        found = detector.eval().detect(torch.rand(2, 3, 64, 96))
    assert found.labels.max() <= num_classes


@pytest.mark.parametrize("kind", HEAD_KINDS)
def test_scores_of_a_head_come_back_from_the_predictions_made_of_them(kind: str) -> None:
    head = detector_with(kind, 3).head
    scores = torch.rand(2, len(head.priors), 3) * 0.3 + 0.01
    predictions = head.predictions_of(scores)
    torch.testing.assert_close(head.scores_of(predictions), scores, atol=1e-5, rtol=1e-4)
    threshold = head.config.postprocess.score_threshold
    best, real = head.best_scores_of(predictions), scores.amax(-1)
    sure = real > threshold + 1e-3
    torch.testing.assert_close(best[sure], real[sure], atol=1e-5, rtol=1e-4)
    assert head.config.softmax == (kind == "multibox")


@pytest.mark.parametrize("kind", HEAD_KINDS)
def test_a_head_can_be_exported_and_comes_back_from_json(kind: str) -> None:
    detector = detector_with(kind, 2).eval()
    assert len(onnx_graph(detector)) > 1000
    config = detector.config
    assert DetectorConfig.model_validate_json(config.model_dump_json()) == config
    assert "\n" not in config.head.in_words()


# ---- the examples


def drawn(heading: str, folder: Path) -> list[TrialConfig]:
    """Configurations from the space of an example; each is held by it."""
    file = folder / "own.toml"
    file.write_text(example(heading, "toml"), encoding="utf-8")
    space = load_space(file)
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    found = []
    for _ in range(30):
        try:
            found.append(space.suggest(study.ask()))
        except ValidationError:
            continue
        assert space.holds(found[-1])
    return found


@pytest.mark.parametrize("heading", OWN)
def test_an_example_is_drawn_from_its_space_trained_and_reported(
    heading: str, tmp_path: Path
) -> None:
    kind, *_ = OWN[heading]
    having = [c for c in drawn(heading, tmp_path) if f'"kind":"{kind}"' in c.model_dump_json()]
    assert having
    config = having[0].detector.changed(width=0.25, num_classes=2)
    torch.manual_seed(0)
    detector = Detector(config).train()
    optimizer = torch.optim.SGD(detector.parameters(), lr=1e-3)
    for _ in range(2):
        outputs = detector.outputs(torch.rand(2, 3, *config.size))
        assert [tuple(x.shape[1:]) for x in outputs.maps] == [
            (level.channels, *level.size) for level in config.levels()
        ]
        loss = sum(detector.losses(outputs, OBJECTS, SmallObjects()).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert loss.isfinite()
    folder = detector.save(tmp_path / "detector")
    assert Detector.load(folder).config == config
    own = {
        "A neck step": "channels of level 0 weighed (1/",
        "A prior rule": "of the input",
        "A head": "focal head of gamma",
    }
    assert own[heading] in having[0].in_words()
