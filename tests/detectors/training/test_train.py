from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from detectors.data.dataset import Dataset
from detectors.data.loader import TrainingLoader
from detectors.detector import Detector
from detectors.features import Outputs
from detectors.training.backends import autocast_type
from detectors.training.run import rate_factor
from detectors.training.train import Snapshots, TrainingFailed, fit
from searchspace.augmentation import Augment, CopyPaste, MultiScale
from searchspace.schedules import Cosine, RateFactors, Steps
from searchspace.training import SmallObjects, TrainConfig

CPU = torch.device("cpu")
SIZE = 96
PLAIN = Augment(photometric=0, zoom_out=0, crop=0, flip=0)

MakeDetector = Callable[..., Detector]


def config(**fields: object) -> TrainConfig:
    defaults = {
        "epochs": 4,
        "batch_size": 4,
        "learning_rate": 0.02,
        "augment": PLAIN,
        "precision": "float32",
    }
    return TrainConfig(**(defaults | fields))


@pytest.fixture
def train(shapes: tuple[Dataset, Dataset], make_detector: MakeDetector) -> Callable:
    """Trains a fresh detector on the eight images; gives it and its mean losses by epoch."""

    def run(
        settings: TrainConfig, new_parts: frozenset[str] = frozenset(), **options: object
    ) -> tuple[Detector, list[dict[str, float]]]:
        detector = make_detector(input_size=SIZE)
        detector.new_parts = new_parts
        loader = TrainingLoader(shapes[0], settings, SIZE, seed=0)
        history: list[dict[str, float]] = []
        options.setdefault("on_epoch", lambda _, losses: history.append(losses))
        fit(detector, loader, settings, **options)
        return detector, history

    return run


def test_the_loss_falls(train: Callable) -> None:
    detector, history = train(config(epochs=30, batch_size=8))
    total = [sum(losses.values()) for losses in history]
    assert len(total) == 30
    assert sum(total[-3:]) < 0.5 * sum(total[:3])
    assert not detector.training


class Interrupted(Exception):
    pass


@pytest.mark.parametrize(
    "recipe",
    [
        {"augment": Augment()},
        {
            "augment": Augment(mosaic=0.5),
            "plain_epochs": 1,
            "copy_paste": CopyPaste(copies=1, probability=0.5),
            "ema": 0.99,
            "multi_scale": MultiScale(largest=1.4, every=1),
            "schedule": Steps(),
            "nesterov": True,
        },
    ],
    ids=["stock", "everything"],
)
def test_a_resumed_training_is_the_uninterrupted_one(
    recipe: dict[str, object], train: Callable, tmp_path: Path
) -> None:
    settings = config(**recipe)
    whole, history = train(settings)
    checkpoint = tmp_path / "deep" / "checkpoint.pt"

    def stop(epoch: int, losses: dict[str, float]) -> None:
        if epoch == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(settings, checkpoint=checkpoint, on_epoch=stop)
    resumed, rest = train(settings, checkpoint=checkpoint)
    assert rest == history[2:]
    state = resumed.state_dict()
    assert [n for n, t in whole.state_dict().items() if not torch.equal(t, state[n])] == []
    assert [file.name for file in checkpoint.parent.iterdir()] == ["checkpoint.pt"]
    again, nothing = train(settings, checkpoint=checkpoint)
    assert nothing == []
    assert torch.equal(again.state_dict()["head.boxes.0.weight"], state["head.boxes.0.weight"])


def test_a_snapshot_is_the_detector_that_a_training_so_far_leaves(train: Callable) -> None:
    taken: dict[int, Detector] = {}
    recipe = {"schedule": Steps(), "ema": 0.9}
    whole, _ = train(config(epochs=3, **recipe), snapshots=Snapshots((1, 3), taken.__setitem__))
    plain, _ = train(config(epochs=3, **recipe))
    assert list(taken) == [1, 3]
    assert not any(snapshot.training for snapshot in taken.values())
    for name, tensor in plain.state_dict().items():
        assert torch.equal(whole.state_dict()[name], tensor), name
        assert torch.equal(taken[3].state_dict()[name], tensor), name
    moved = [
        n for n, t in taken[1].state_dict().items() if not torch.equal(t, plain.state_dict()[n])
    ]
    assert "head.boxes.0.weight" in moved


def test_the_same_seed_trains_the_same_detector(train: Callable) -> None:
    first, second = train(config(epochs=2)), train(config(epochs=2))
    assert first[1] == second[1]
    state = second[0].state_dict()
    assert all(torch.equal(t, state[n]) for n, t in first[0].state_dict().items())


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    factors = [rate_factor(step, total=100, warm=10, schedule=Cosine()) for step in range(100)]
    warm_up, fall = factors[:10], factors[10:]
    assert warm_up == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert fall[0] == 1
    assert all(a > b for a, b in itertools.pairwise(fall))
    assert fall[45] == pytest.approx(0.5)
    assert 0 < fall[-1] < 1e-3
    assert rate_factor(100, 100, 10, Cosine()) == pytest.approx(0, abs=1e-12)
    assert rate_factor(0, 100, 0, Cosine()) == 1
    assert [rate_factor(s, 3, 3.0, Cosine()) for s in range(3)] == pytest.approx([0.25, 0.5, 0.75])


def test_the_cosine_ends_at_its_floor() -> None:
    factors = [rate_factor(step, 100, 10, Cosine(floor=0.05)) for step in range(101)]
    assert factors[:11] == [rate_factor(step, 100, 10, Cosine()) for step in range(11)]
    assert factors[55] == pytest.approx((1 + 0.05) / 2)
    assert factors[100] == pytest.approx(0.05)


def test_steps_fall_at_their_milestones() -> None:
    factors = [rate_factor(step, 120, 5, Steps()) for step in range(120)]
    assert factors[:5] == pytest.approx([(step + 1) / 6 for step in range(5)])
    assert factors[5:80] == [1] * 75
    assert factors[80:110] == pytest.approx([0.1] * 30)
    assert factors[110:] == pytest.approx([0.01] * 10)
    assert rate_factor(9, 10, 0, Steps(milestones=(0.5,), factor=0.5)) == 0.5


def test_the_recipe_reaches_the_optimizer(train: Callable, make_detector: MakeDetector) -> None:
    """One step of Nesterov's momentum is 1 + momentum times the plain one; warm-up shortens it."""
    one_step = {"epochs": 1, "batch_size": 8, "weight_decay": 0, "max_gradient": 1e9}
    before = make_detector(input_size=SIZE).state_dict()["head.boxes.0.weight"]
    recipes = ({"warmup_steps": 0}, {"warmup_steps": 0, "nesterov": True}, {"warmup_steps": 3})
    plain, nesterov, warm = (
        train(config(**one_step, **recipe))[0].state_dict()["head.boxes.0.weight"] - before
        for recipe in recipes
    )
    assert plain.abs().max() > 1e-3
    assert torch.allclose(nesterov, 1.9 * plain, atol=1e-5)
    assert torch.allclose(warm, plain / 4, atol=1e-5)


def test_new_parts_and_the_backbone_have_rates_of_their_own(
    train: Callable, make_detector: MakeDetector
) -> None:
    """In one step, a parameter moves as many times as far as its factor says."""
    one_step = {"epochs": 1, "batch_size": 8, "warmup_steps": 0, "max_gradient": 1e9}
    one_step |= {"weights": "shapes", "weight_decay": 0.1}
    before = make_detector(input_size=SIZE).state_dict()
    new = frozenset({"backbone.layer13.1.0.weight", "head.boxes.0.weight", "head.boxes.0.bias"})
    even, factored = (
        train(config(**one_step, rates=rates), new)[0].state_dict()
        for rates in (RateFactors(), RateFactors(backbone=0.1, new=2))
    )
    for name, factor in {
        "backbone.layer13.1.0.weight": 0.2,
        "backbone.layer12.1.0.weight": 0.1,
        "head.boxes.0.weight": 2,
        "head.boxes.0.bias": 2,
        "head.boxes.1.weight": 1,
    }.items():
        step = even[name] - before[name]
        assert step.abs().max() > 1e-4, name
        assert torch.allclose(factored[name] - before[name], factor * step, atol=1e-6), name


def test_averaged_weights_are_what_training_ends_with(train: Callable) -> None:
    settings = config(epochs=4, batch_size=8)  # one step an epoch
    weights = []

    def keep(detector: Detector, images: Tensor, outputs: Outputs) -> dict[str, Tensor]:
        weights.append(detector.head.boxes[0].weight.detach().clone())
        return {}

    raw, losses = train(settings, terms=[keep])
    averaged, same_losses = train(settings.model_copy(update={"ema": 0.9}))
    assert losses == same_losses
    # `keep` sees the weights before each step: after step k they are those before step k + 1.
    expected = weights[1]
    for step, after in enumerate([*weights[2:], raw.head.boxes[0].weight.detach()], start=1):
        decay = 0.9 * (1 - math.exp(-step / 2000))
        expected = decay * expected + (1 - decay) * after
    assert torch.allclose(averaged.head.boxes[0].weight, expected, atol=1e-7)
    assert not torch.equal(averaged.head.boxes[0].weight, raw.head.boxes[0].weight)


def test_batches_of_several_sizes_train_one_detector(train: Callable) -> None:
    seen = []

    def look(detector: Detector, images: Tensor, outputs: Outputs) -> dict[str, Tensor]:
        seen.append((detector.config.input_size, tuple(images.shape[-2:]), len(outputs.maps)))
        return {}

    several = MultiScale(largest=1.4, every=2)
    detector, history = train(config(epochs=12, multi_scale=several), terms=[look])
    assert {size for size, _, _ in seen} == {96, 128}
    assert all(shape == (size, size) for size, shape, _ in seen)
    assert all(first == second for first, second in zip(seen[::2], seen[1::2], strict=True))
    assert detector.config.input_size == SIZE
    assert sum(history[-1].values()) < sum(history[0].values())


def test_further_terms_are_added_to_the_loss(train: Callable) -> None:
    seen = []

    def pull(detector: Detector, images: Tensor, outputs: Outputs) -> dict[str, Tensor]:
        seen.append((images.shape, images.min().item(), images.max().item()))
        assert len(outputs.predictions.boxes) == len(outputs.maps[0]) == len(images)
        return {"pull": 100 * sum(p.pow(2).sum() for p in detector.head.parameters())}

    plain, _ = train(config(epochs=2))
    pulled, history = train(config(epochs=2), terms=[pull])
    assert set(history[0]) == {"classes", "boxes", "pull"}
    assert history[1]["pull"] < history[0]["pull"]
    norm, plain_norm = (
        sum(p.pow(2).sum().item() for p in detector.head.parameters())
        for detector in (pulled, plain)
    )
    assert norm < 0.9 * plain_norm
    assert all(shape == (4, 3, SIZE, SIZE) and 0 <= low < high <= 1 for shape, low, high in seen)
    assert len(seen) == 4


class Scale(nn.Module):
    """A term with a parameter of its own, which wants to be 1."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(()))

    def forward(self, detector: Detector, images: Tensor, outputs: Outputs) -> dict[str, Tensor]:
        return {"scale": (self.value - 1).square()}


def test_the_parameters_of_a_term_are_trained_and_stay_its_own(train: Callable) -> None:
    scale = Scale()
    detector, history = train(config(), terms=[scale])
    assert [losses["scale"] for losses in history] == sorted(
        (losses["scale"] for losses in history), reverse=True
    )
    assert 0 < scale.value.item() < 1
    assert not any("value" in name for name in detector.state_dict())


def test_the_parameters_of_a_term_resume_with_the_detector(train: Callable, tmp_path: Path) -> None:
    whole, history = train(config(), terms=[Scale()])
    checkpoint = tmp_path / "checkpoint.pt"

    def stop(epoch: int, losses: dict[str, float]) -> None:
        if epoch == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(config(), terms=[Scale()], checkpoint=checkpoint, on_epoch=stop)
    resumed, rest = train(config(), terms=[Scale()], checkpoint=checkpoint)
    assert rest == history[2:]
    state = resumed.state_dict()
    assert all(torch.equal(t, state[n]) for n, t in whole.state_dict().items())


@pytest.mark.parametrize("damage", [b"", b"no checkpoint", None], ids=["empty", "foreign", "cut"])
def test_training_starts_over_from_a_damaged_checkpoint_with_a_warning(
    train: Callable, tmp_path: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    settings, checkpoint = config(epochs=1), tmp_path / "checkpoint.pt"
    _, history = train(settings, checkpoint=checkpoint)
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    _, again = train(settings, checkpoint=checkpoint)
    assert again == history
    assert "checkpoint.pt is damaged" in caplog.text


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_with_advice(train: Callable, bad: float) -> None:
    def broken(detector: Detector, images: Tensor, outputs: Outputs) -> dict[str, Tensor]:
        return {"broken": torch.tensor(bad, requires_grad=True)}

    with pytest.raises(TrainingFailed, match=r"epoch 1 .*broken.*learning_rate \(0\.02\)"):
        train(config(), terms=[broken])


def test_weight_decay_spares_scales_and_biases(train: Callable, make_detector: Callable) -> None:
    one_step = {"epochs": 1, "batch_size": 8, "warmup_epochs": 0, "learning_rate": 0.1}
    before = make_detector(input_size=SIZE).state_dict()
    free, decayed = (train(config(**one_step, weight_decay=d))[0] for d in (0.0, 0.5))
    with_decay = dict(decayed.named_parameters())
    for name, p in free.named_parameters():
        shrunk = 0.1 * 0.5 * before[name] if p.ndim > 1 else torch.zeros_like(p)
        assert torch.allclose(p - with_decay[name], shrunk, atol=1e-6)


def test_small_objects_weigh_as_configured(train: Callable) -> None:
    weights = (SmallObjects(weight=w) for w in (1.0, 4.0))
    even, heavy = (train(config(epochs=1, small_objects=w))[1][0] for w in weights)
    assert heavy["boxes"] > even["boxes"]
    assert heavy["classes"] > even["classes"]


def test_shrunken_objects_are_small_by_the_input(train: Callable) -> None:
    shrunken = Augment(photometric=0, zoom_out=1, crop=0, flip=0)
    by_annotation, by_input = (
        train(config(epochs=1, batch_size=8, augment=shrunken, small_objects=small))[1][0]
        for small in (SmallObjects(weight=4.0), SmallObjects(weight=4.0, by="input"))
    )
    assert by_input["boxes"] > by_annotation["boxes"]


def test_precision(make_detector: MakeDetector) -> None:
    detector = make_detector()
    assert autocast_type("float32", detector, CPU) == torch.float32
    assert autocast_type("bfloat16", detector, CPU) == torch.bfloat16
    # Depthwise convolutions of one image are faster in float32 on any CPU.
    assert autocast_type("auto", detector, CPU) == torch.float32


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_that_emulates_bfloat16_trains_in_float32(
    make_detector: MakeDetector, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return including_emulation or native

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    wanted = torch.bfloat16 if native else torch.float32
    assert autocast_type("auto", make_detector(), torch.device("cuda")) == wanted


def test_bfloat16_trains_too(train: Callable) -> None:
    detector, history = train(config(epochs=2, precision="bfloat16"))
    assert {p.dtype for p in detector.parameters()} == {torch.float32}
    assert all(0 < sum(losses.values()) < 100 for losses in history)
