from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch

from compress import in_place
from detectors.data.dataset import Dataset
from detectors.data.loader import TrainingLoader
from detectors.detector import Detector
from detectors.training.shared_tensors import Design, SharedWeights, parts_of
from detectors.training.shared_weights import SANDWICH_EVERY, Course, SharedRun, train_shared
from detectors.weights.place import inherit
from searchspace import DetectorConfig, papers
from searchspace.augmentation import Augment
from searchspace.backbones import MobileNetV1
from searchspace.distillation import ChannelWise
from searchspace.training import TrainConfig

MakeDetector = Callable[..., Detector]

RECIPE = TrainConfig(
    epochs=20, batch_size=4, optimizer="adamw", learning_rate=3e-3, precision="float32",
    augment=Augment(photometric=0, zoom_out=0, crop=0, flip=0),
)  # fmt: skip
LESSON = in_place(ChannelWise(weight=1.0))


@pytest.fixture
def three(make_detector: MakeDetector) -> list[DetectorConfig]:
    """A wide design at 96 pixels, a narrow one, and a narrow one without a stride."""
    return [
        make_detector(input_size=96).config,
        make_detector(width=0.125).config,
        make_detector(width=0.125, strides=(6,)).config,
    ]


def shared_by(configs: Iterable[DetectorConfig]) -> SharedWeights:
    torch.manual_seed(0)
    return SharedWeights.of(configs, Detector)


def run_of(
    shared: SharedWeights, configs: Iterable[DetectorConfig], split: Dataset, steps: int
) -> SharedRun:
    designs = [Design(shared, config) for config in configs]
    loader = TrainingLoader(split, RECIPE, 96, seed=0)
    return SharedRun(shared, designs, loader, RECIPE, Course(steps), LESSON, seed=0)


def test_gradients_reach_exactly_what_a_design_takes(three: list[DetectorConfig]) -> None:
    shared = shared_by(three)
    design = Design(shared, three[2])
    outputs = design.outputs(torch.rand(2, 3, 64, 64))
    (outputs.predictions.boxes.square().sum() + outputs.predictions.classes.sum()).backward()
    taken = {part.key: part for part in parts_of(three[2], design.detector).values()}
    assert {key for key, t in shared.tensors.items() if t.grad is not None} == taken.keys()
    for key, part in taken.items():
        gradient = shared.tensors[key].grad
        inside = part.of(gradient)
        assert inside.shape == part.shape
        assert inside.count_nonzero() == gradient.count_nonzero()
    assert any(
        part.of(shared.tensors[k]).numel() < shared.tensors[k].numel() for k, part in taken.items()
    )
    assert all(parameter.is_meta for parameter in design.detector.parameters())


def test_the_largest_design_computes_what_the_plain_detector_does(
    three: list[DetectorConfig],
) -> None:
    shared, images = shared_by(three), torch.rand(2, 3, 96, 96)
    plain = shared.detector(three[0]).eval()
    torch.manual_seed(0)
    initial = Detector(three[0]).eval()
    design = Design(shared, three[0])
    design.detector.eval()  # batch norms of few values would enlarge differences by rounding
    ours = design.outputs(images)
    theirs, first = plain.outputs(images), initial.outputs(images)
    for name in ("boxes", "classes"):
        values = [getattr(o.predictions, name) for o in (ours, theirs, first)]
        torch.testing.assert_close(values[0], values[1], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(values[0], values[2], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("stock", "relative"),
    [
        ("ssdmnetv1", "ssdmnetv1_s2l0-6"),
        ("ssdmnetv1_yaml", "ssdmnetv1_anchor10"),
        ("ssd_vgg16_003", "ssd_vgg16_s1l2"),
    ],
)
def test_designs_share_what_one_can_inherit_of_the_other(stock: str, relative: str) -> None:
    def narrow(name: str, width: float) -> Detector:
        config = papers[name].trial.detector
        return Detector(DetectorConfig.model_validate({**dict(config), "width": width}))

    wide, thin = narrow(stock, 0.125), narrow(relative, 0.0625)
    placed = inherit(thin, wide)
    parts = [{p.key for p in parts_of(d.config, d).values()} for d in (wide, thin)]
    names = {name for name, _ in thin.named_parameters()}
    inherited = names & {*placed.copied, *placed.sliced}
    assert len(parts[0] & parts[1]) == len(inherited) == len(names)


def test_other_taps_have_neck_and_head_apart(make_detector: MakeDetector) -> None:
    early = MobileNetV1(taps=("layer5", "layer11", "layer13"))
    designs = (make_detector(), make_detector(backbone=early))
    one, other = ({p.key for p in parts_of(d.config, d).values()} for d in designs)
    common = {key.partition(".")[0] for key in one & other}
    assert common == {"backbone"}
    assert {key.partition(".")[0] for key in one - other} == {"neck", "head"}


def test_few_designs_are_built_for_the_initial_weights(three: list[DetectorConfig]) -> None:
    built: list[DetectorConfig] = []

    def build(config: DetectorConfig) -> Detector:
        built.append(config)
        return Detector(config)

    shared = SharedWeights.of(three, build)
    assert built == three[:1]
    assert all(t.abs().sum() > 0 for key, t in shared.tensors.items() if t.ndim == 4)


def test_a_step_is_drawn_by_its_number(
    three: list[DetectorConfig], shapes: tuple[Dataset, Dataset]
) -> None:
    shared = shared_by(three)
    run = run_of(shared, three, shapes[0], 8)
    drawn = [run.drawn(step) for step in range(2 * SANDWICH_EVERY)]
    assert drawn == [run.drawn(step) for step in range(2 * SANDWICH_EVERY)]
    for step, (designs, is_sandwich) in enumerate(drawn):
        assert is_sandwich == (step % SANDWICH_EVERY == 0)
        costs = [three.index(design.config) for design in designs]
        # The design without a stride is between the others.
        assert costs == [0, 1, 2] if is_sandwich else len(costs) == 1


def test_training_lowers_the_loss_of_every_design(
    three: list[DetectorConfig], shapes: tuple[Dataset, Dataset]
) -> None:
    shared = shared_by(three)
    run = run_of(shared, three, shapes[0], 40)
    batch = next(iter(TrainingLoader(shapes[0], RECIPE, 96, seed=0).epoch(0)))
    images = batch.images.float() / 255

    @torch.no_grad()
    def losses() -> list[float]:
        designs = [Design(shared, config) for config in three]
        found = (run._losses(design, batch, images, None)[1] for design in designs)
        return [sum(float(loss) for loss in named.values()) for named in found]

    before = losses()
    train_shared(run)
    assert run.steps == 40
    assert all(late < 0.6 * early for early, late in zip(before, losses(), strict=True))


class Interrupted(Exception):
    pass


def test_an_interrupted_training_equals_one_that_was_not(
    three: list[DetectorConfig],
    shapes: tuple[Dataset, Dataset],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, broken, resumed = (shared_by(three) for _ in range(3))
    train_shared(run_of(whole, three, shapes[0], 6), tmp_path / "whole")
    run = run_of(broken, three, shapes[0], 6)
    drawn = run.drawn

    def breaks(step: int) -> tuple[list[Design], bool]:
        if step == 5:
            raise Interrupted
        return drawn(step)

    monkeypatch.setattr(run, "drawn", breaks)
    with pytest.raises(Interrupted):
        train_shared(run, tmp_path / "broken")
    again = train_shared(run_of(resumed, three, shapes[0], 6), tmp_path / "broken")
    assert again.steps == 6
    assert whole.tensors.keys() == resumed.tensors.keys()
    for key, tensor in whole.tensors.items():
        assert torch.equal(tensor, resumed.tensors[key]), key


def test_time_ends_a_training_too(
    three: list[DetectorConfig], shapes: tuple[Dataset, Dataset]
) -> None:
    run = run_of(shared_by(three), three, shapes[0], 1000)
    run._course = Course(1000, seconds=1e-6)
    assert train_shared(run).steps == 1


def test_saved_tensors_are_read_again(three: list[DetectorConfig], tmp_path: Path) -> None:
    shared = shared_by(three)
    shared.save(tmp_path / "shared.safetensors")
    read = SharedWeights.load(tmp_path / "shared.safetensors")
    assert {k: t.shape for k, t in read.tensors.items()} == {
        k: t.shape for k, t in shared.tensors.items()
    }
    assert all(torch.equal(t, read.tensors[key]) for key, t in shared.tensors.items())
