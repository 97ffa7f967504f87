from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional

from compress import prune
from detectors.data.dataset import Dataset
from detectors.data.loader import TrainingLoader
from detectors.data.samples import TrainingSet
from detectors.detector import Detector
from detectors.training.multi_scale import InputSizes, at_input_size
from searchspace import papers
from searchspace.augmentation import Augment, MultiScale
from searchspace.compression import Slimming
from searchspace.geometry import Canvas
from searchspace.heads import Multibox
from searchspace.priors import ListedPriors
from searchspace.training import TrainConfig

MakeDetector = Callable[..., Detector]

SPREAD = MultiScale(largest=1.5, every=10)


@pytest.mark.parametrize("pruned", [False, True])
def test_a_twin_is_what_would_be_built_for_its_size(
    make_detector: MakeDetector, pruned: bool
) -> None:
    detector = make_detector(input_size=96)
    if pruned:
        prune(detector, Slimming(ratio=0.4))
    twin = at_input_size(detector, 128)
    own = Detector(detector.config.model_copy(update={"input_size": 128}))
    images = torch.rand(2, 3, 128, 128)
    assert torch.equal(twin.head.priors, own.head.priors)
    if not pruned:
        own.load_state_dict(detector.state_dict())
        with torch.no_grad():
            found, expected = (d.eval().predict(images) for d in (twin, own))
        assert torch.equal(found.boxes, expected.boxes)
        assert torch.equal(found.classes, expected.classes)
    assert twin.predict(images).boxes.shape == (2, len(own.head.priors), 4)


def test_a_rectangle_has_twins(make_detector: MakeDetector) -> None:
    detector = make_detector(input_size=(96, 160))
    sizes = InputSizes(detector, MultiScale(largest=1.7))
    assert list(sizes.detectors) == [(96, 160), (128, 224), (160, 256)]
    for size, twin in sizes.detectors.items():
        own = Detector(detector.config.model_copy(update={"input_size": size}))
        assert torch.equal(twin.head.priors, own.head.priors)
        assert twin.eval().predict(torch.rand(1, 3, *size)).boxes.shape[1] == len(own.head.priors)


def test_the_teachers_shorter_side_is_that_of_its_recipe() -> None:
    trial = papers["gfl_r101"].trial
    shorter = [min(size) for size in trial.train.multi_scale.sizes(trial.detector.input_size)]
    assert (shorter[0], shorter[-1]) == (480, 800)


def test_what_trains_a_twin_trains_the_detector(make_detector: MakeDetector) -> None:
    detector = make_detector(input_size=96).train()
    state = torch.random.get_rng_state()
    twin = at_input_size(detector, 128)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert twin.training
    assert {id(p) for p in twin.parameters()} == {id(p) for p in detector.parameters()}
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    optimizer = torch.optim.SGD(detector.parameters(), lr=0.1)
    predictions = twin.predict(torch.rand(2, 3, 128, 128))
    (predictions.boxes.sum() + predictions.classes.sum()).backward()
    optimizer.step()
    after = detector.state_dict()
    moved = [name for name, tensor in before.items() if not torch.equal(tensor, after[name])]
    assert any(name.endswith("running_mean") for name in moved)
    assert any(name.startswith("head.boxes") for name in moved)
    assert all(torch.equal(tensor, after[name]) for name, tensor in twin.state_dict().items())


def test_frozen_statistics_stay_frozen(make_detector: MakeDetector) -> None:
    detector = make_detector(input_size=96).train()
    still = detector.backbone.get_submodule("layer0").eval()
    before = {name: tensor.clone() for name, tensor in still.state_dict().items()}
    twin = at_input_size(detector, 128)
    twin.predict(torch.rand(2, 3, 128, 128))
    assert all(torch.equal(tensor, before[name]) for name, tensor in still.state_dict().items())
    assert twin.training


def cells_of(detector: Detector) -> list[int]:
    """The cells on a side of each level's map."""
    return [int(np.max(level.size)) for level in detector.config.levels()]


def test_listed_priors_keep_their_pixels(make_detector: MakeDetector) -> None:
    listed = ListedPriors(
        sizes=(10, 20, 40, 60, 80, 90),
        steps=(15, 30, 64, 96, 180),
        ratios=((2,),) * 5,
    )
    detector = make_detector(input_size=192, head=Multibox(priors=listed))
    twin = at_input_size(detector, 224)
    cells, others = (cells_of(d) for d in (detector, twin))
    assert cells != others
    sizes = [
        {tuple(wh) for wh in (d.head.priors[:cell, 2:] * d.config.input_size).round().tolist()}
        for d, cell in ((detector, cells[0]), (twin, others[0]))
    ]
    assert sizes[0] == sizes[1]
    for number, priors in enumerate(twin.config.priors()):
        # A step covers as much of its cell as it did.
        before = listed.steps[number] * cells[number] / 192
        assert priors.step * others[number] / 224 == pytest.approx(before)
    assert detector.config.at_input_size(192) == detector.config


@pytest.mark.parametrize("name", sorted(papers))
def test_every_paper_has_its_own_size(name: str) -> None:
    config = papers[name].trial.detector
    assert config.at_input_size(config.input_size) == config


def test_sizes_at_which_layers_would_differ_are_refused() -> None:
    narrow = {"width": 0.125, "num_classes": 1}
    ssd = Detector(papers["ssd300_vgg16"].trial.detector.model_copy(update=narrow))
    for size in (204, 236):
        with pytest.raises(ValueError, match=rf"size of {size} instead of 300 pixels"):
            at_input_size(ssd, size)
    assert cells_of(at_input_size(ssd, 332))[0] == 42
    mdssd = Detector(papers["mdssd300"].trial.detector.model_copy(update=narrow))
    with pytest.raises(ValueError, match=r"size of 332 .*deconvolve: .*by doublings"):
        at_input_size(mdssd, 332)
    with pytest.raises(ValueError, match=r"size of 268 .*kernel of \[3, 3\], not \[2, 2\]"):
        at_input_size(mdssd, 268)


def test_batches_are_on_the_size_of_their_step(
    make_detector: MakeDetector, shapes: tuple[Dataset, Dataset]
) -> None:
    detector = make_detector(input_size=96)
    sizes = InputSizes(detector, SPREAD)
    assert list(sizes.detectors) == [96, 128]
    assert sizes.detectors[96] is detector
    recipe = TrainConfig(batch_size=2, multi_scale=SPREAD)

    def drawn(seed: int) -> list[int]:
        samples = TrainingSet(shapes[0], recipe, detector.config.canvas, seed)
        return [samples.canvas_at(step).size[0] for step in range(600)]

    sides = drawn(3)
    assert sides == drawn(3) != drawn(4)
    assert all(len(set(sides[k : k + 10])) == 1 for k in range(0, 600, 10))
    assert min(sides.count(size) for size in (96, 128)) > 200
    loader = TrainingLoader(shapes[0], recipe, detector.config.canvas, seed=3)
    found = []
    for epoch in sorted({sides.index(96) // len(loader), sides.index(128) // len(loader)}):
        for step, batch in enumerate(loader.epoch(epoch), start=epoch * len(loader)):
            found.append(sides[step])
            assert batch.images.shape == (2, 3, sides[step], sides[step])
            assert sizes.of(batch.images) is sizes.detectors[sides[step]]
            assert all((target["boxes"] <= sides[step]).all() for target in batch.targets)
    assert set(found) == {96, 128}


def test_a_sample_on_another_size_is_the_same_sample(shapes: tuple[Dataset, Dataset]) -> None:
    samples = TrainingSet(shapes[0], TrainConfig(augment=Augment(photometric=0)), 64, seed=0)
    for index in range(6):
        own, large = (samples.drawn(index, 0, canvas) for canvas in (None, Canvas((128, 128))))
        assert np.allclose(2 * own.scene.boxes, large.scene.boxes)
        images = (samples.images([one]).float() for one in (own, large))
        first, second = next(images), functional.avg_pool2d(next(images), 2)
        assert (first - second).abs().mean() < 4
