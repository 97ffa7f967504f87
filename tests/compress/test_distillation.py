from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from compress import check_classes, check_distillation, distillation_term, prune
from compress.distillation import (
    ChannelWiseTerm,
    Teacher,
    channel_divergence,
    class_divergence,
    class_maps,
    level_pairs,
)
from detectors.detector import Detector
from detectors.training.multi_scale import at_input_size
from searchspace import DetectorConfig, papers
from searchspace.backbones import MobileNetV1
from searchspace.compression import Slimming
from searchspace.distillation import ChannelWise, Logits
from searchspace.geometry import Level
from searchspace.heads import Multibox
from searchspace.priors import ScaledPriors


def make(
    width: float = 0.25,
    size: int = 64,
    strides: tuple[int, ...] = (),
    classes: Sequence[str] = ("disc", "ring"),
    seed: int = 0,
) -> Detector:
    torch.manual_seed(seed)
    config = DetectorConfig(
        input_size=size,
        num_classes=len(classes),
        width=width,
        backbone=MobileNetV1(eliminated_strides=strides),
        head=Multibox(priors=ScaledPriors()),
    )
    return Detector(config, classes)


def images(count: int = 2, size: int = 64) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(7))


TEACHER = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 2, 2)


@pytest.mark.parametrize(
    ("temperature", "expected"), [(1.0, 0.4387574), (2.0, 0.5649757), (4.0, 0.6088280)]
)
def test_the_published_divergences(temperature: float, expected: float) -> None:
    loss = channel_divergence(torch.zeros(1, 1, 2, 2), TEACHER, temperature)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_the_divergence_is_a_mean_over_images_and_channels() -> None:
    zeros = torch.zeros(2, 3, 2, 2)
    alike = TEACHER.expand(2, 3, 2, 2)
    assert channel_divergence(zeros, alike, 1.0).item() == pytest.approx(0.4387574, abs=1e-6)
    one_of_six = zeros.clone()
    one_of_six[1, 2] = TEACHER
    loss = channel_divergence(zeros, one_of_six, 1.0).item()
    assert loss == pytest.approx(0.4387574 / 6, abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_equal_maps_diverge_by_nothing(temperature: float) -> None:
    maps = torch.randn(2, 5, 4, 4)
    assert channel_divergence(maps, maps, temperature).item() == pytest.approx(0, abs=1e-6)
    # A softmax over positions knows no offset of a channel, and one over classes none of a prior.
    assert channel_divergence(maps + 3, maps, temperature).item() == pytest.approx(0, abs=1e-5)
    rows = torch.randn(2, 7, 3)
    assert class_divergence(rows - 2, rows, temperature).item() == pytest.approx(0, abs=1e-5)


def test_the_divergence_of_classes_by_hand() -> None:
    # The teacher: 1/4 background and 3/4 object on one prior, 1/2 and 1/2 on the other; so 1.25
    # objects. The student: even on both.
    teacher = torch.tensor([[[0.0, math.log(3)], [0.0, 0.0]]])
    divergence = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    loss = class_divergence(torch.zeros(1, 2, 2), teacher, 1.0).item()
    assert loss == pytest.approx(divergence / 1.25, abs=1e-6)
    # At temperature 2 its odds are sqrt(3); the objects are counted as they are.
    p = math.sqrt(3) / (1 + math.sqrt(3))
    softened = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    loss = class_divergence(torch.zeros(1, 2, 2), teacher, 2.0).item()
    assert loss == pytest.approx(4 * softened / 1.25, abs=1e-6)


@pytest.mark.parametrize(
    ("student", "teacher", "pairs"),
    [
        ([38, 19, 10], [38, 19, 10], [(0, 0), (1, 1), (2, 2)]),
        # A stride was eliminated: levels shift, and the finest has no like.
        ([38, 19, 10, 5], [19, 10, 5, 3], [(1, 0), (2, 1), (3, 2)]),
        # Three levels of 416 pixels against five of 800.
        ([52, 26, 13], [100, 50, 25, 13, 7], [(0, 1), (1, 2), (2, 3)]),
        ([12], [9, 16], [(0, 1)]),  # equally near: the finer one
        ([1], [2], []),
    ],
)
def test_levels_are_paired_by_their_cells(
    student: list[int], teacher: list[int], pairs: list[tuple[int, int]]
) -> None:
    ours, theirs = ([Level(8, size, size) for size in sizes] for sizes in (student, teacher))
    assert level_pairs(ours, theirs) == pairs


def test_levels_of_rectangles_are_paired_by_all_their_cells() -> None:
    square = [Level(8, 64, 64), Level(8, 32, 32), Level(8, 16, 16)]
    wide = [Level(8, 50, 84), Level(8, 25, 42), Level(8, 13, 21)]
    assert level_pairs(square, wide) == [(0, 0), (1, 1), (2, 2)]


def test_class_maps_are_what_the_head_put_out() -> None:
    torch.manual_seed(0)
    config = papers["ssdmnetv1"].trial.detector.model_copy(update={"width": 0.25})
    detector = Detector(config).eval()  # four boxes a cell on the first level, six on others
    with torch.no_grad():
        outputs = detector.outputs(images(1, config.input_size))
        maps = class_maps(config, outputs)
        for made, read, conv in zip(maps, outputs.maps, detector.head.classes, strict=True):
            assert torch.equal(made, conv(read))


@pytest.mark.parametrize("location", ["classes", "maps", "both"])
@pytest.mark.parametrize(
    "teacher",
    [
        {"width": 0.25, "seed": 1},
        {"width": 0.5},
        {"width": 0.5, "size": 96},
        {"strides": (6,)},
    ],
    ids=["same architecture", "wider", "larger input", "other levels"],
)
def test_the_gradient_reaches_the_student_and_never_the_teacher(
    location: str, teacher: dict[str, object]
) -> None:
    student, wise = make(), make(**teacher)
    before = {name: tensor.clone() for name, tensor in wise.state_dict().items()}
    term = distillation_term(ChannelWise(location=location), student, wise.train())
    batch = images()
    losses = term(student, batch, student.train().outputs(batch))
    names = ("classes", "maps") if location == "both" else (location,)
    assert set(losses) == {f"distilled_{name}" for name in names}
    assert all(loss > 0 for loss in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in student.backbone.parameters())
    assert all(p.grad is not None for p in term.parameters())
    assert all(p.grad is None and not p.requires_grad for p in wise.parameters())
    assert not wise.training
    assert all(torch.equal(before[name], tensor) for name, tensor in wise.state_dict().items())


NARROW = {"width": 0.125, "num_classes": 2}


def of_paper(name: str, **changes: object) -> Detector:
    """A paper's system, an eighth as wide."""
    torch.manual_seed(0)
    fields = papers[name].trial.detector.model_dump() | NARROW | changes
    return Detector(DetectorConfig.model_validate(fields))


@pytest.mark.parametrize(
    ("student", "teacher", "size", "aligned"),
    [
        ("gfl_r50", "gfl_r101", 128, set()),
        ("yolox_tiny", "yolox_s", 96, {"maps"}),
        ("yolox_tiny", "gfl_r50", 128, {"maps"}),
        ("ssdmnetv1_s1l6", "yolox_s", 128, {"classes", "maps"}),
        ("yolox_tiny", "mdssd512", 128, {"classes", "maps"}),
    ],
)
def test_any_two_families_teach_each_other(
    student: str, teacher: str, size: int, aligned: set[str]
) -> None:
    scaled = {"kind": "multibox", "priors": {"kind": "scaled"}}

    def build(name: str, width: float) -> Detector:
        head = {"head": scaled} if papers[name].trial.detector.head.kind == "multibox" else {}
        return of_paper(name, input_size=size, width=width, **head)

    pupil, wise = build(student, 0.125), build(teacher, 0.25 if "maps" in aligned else 0.125)
    term = distillation_term(ChannelWise(location="both"), pupil, wise)
    batch = images(size=size)
    losses = term(pupil, batch, pupil.train().outputs(batch))
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())
    found = {name for name, layers in term.alignments.items() if list(layers.parameters())}
    assert found == aligned
    sum(losses.values()).backward()
    taught = [p for p in pupil.backbone.parameters() if p.grad is not None and p.grad.any()]
    assert taught


def test_a_rectangle_teaches_a_square() -> None:
    student, wise = of_paper("gfl_r50", input_size=128), of_paper("gfl_r50", input_size=(96, 160))
    term = distillation_term(ChannelWise(location="both"), student, wise)
    batch = images(size=128)
    losses = term(student, batch, student.outputs(batch))
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())


def test_a_student_of_several_input_sizes_is_taught_at_each() -> None:
    student = of_paper("yolox_tiny", input_size=96)
    term = distillation_term(ChannelWise(), student, of_paper("yolox_s", input_size=96))
    for size in (64, 96, 128):
        at_size, batch = at_input_size(student, size), images(size=size)
        loss = term(at_size, batch, at_size.outputs(batch))["distilled_classes"]
        assert loss.isfinite()
        assert loss > 0


def test_a_student_equal_to_its_teacher_has_nothing_to_learn() -> None:
    student, twin = make().eval(), make()
    batch = images()
    outputs = student.outputs(batch)
    for config in (ChannelWise(location="both"), Logits()):
        losses = distillation_term(config, student, twin)(student, batch, outputs)
        assert sum(losses.values()).item() == pytest.approx(0, abs=1e-4)


def test_weight_and_temperature_act() -> None:
    student, wise = make(), make(seed=1)
    for layer in wise.head.classes:
        layer.weight.data *= 100  # as decided as a trained one
    batch = images()
    outputs = student.eval().outputs(batch)

    def loss(config: ChannelWise | Logits) -> float:
        return distillation_term(config, student, wise)(student, batch, outputs)[
            "distilled_classes"
        ].item()

    for kind in (ChannelWise, Logits):
        plain = loss(kind(weight=1, temperature=1))
        assert loss(kind(weight=7, temperature=1)) == pytest.approx(7 * plain, rel=1e-5)
        assert loss(kind(weight=1, temperature=3)) != pytest.approx(plain, rel=1e-3)


def test_alignment_is_there_where_channels_differ_and_only_there() -> None:
    student = make()
    for layer in student.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight)
    prune(student, Slimming(ratio=0.4))
    alike = distillation_term(ChannelWise(location="classes"), student, make())
    assert list(alike.parameters()) == []
    term = distillation_term(ChannelWise(location="maps"), student, make())
    channels = [x.shape[1] for x in student.eval().outputs(images(1)).maps]
    wanted = [level.channels for level in student.config.levels()]
    assert channels != wanted
    found = [
        (c, w) if isinstance(layer, torch.nn.Identity) else (layer.in_channels, layer.out_channels)
        for layer, c, w in zip(term.alignments["maps"], channels, wanted, strict=True)
    ]
    assert found == list(zip(channels, wanted, strict=True))


def test_the_teacher_runs_once_per_batch_and_is_not_part_of_the_term() -> None:
    student, wise = make(), make(width=0.5)
    term = distillation_term(ChannelWise(location="both"), student, wise)
    calls = []
    wise.backbone.register_forward_hook(lambda *_: calls.append(1))
    batch = images()
    term(student, batch, student.outputs(batch))
    assert len(calls) == 1
    own = {id(p) for p in term.parameters()}
    assert own
    assert own.isdisjoint({id(p) for p in (*wise.parameters(), *student.parameters())})
    assert all(name.startswith("alignments.") for name in term.state_dict())


def test_the_teacher_sees_the_same_images_at_its_own_size() -> None:
    wise = make(size=96).eval()
    batch = images()
    outputs = Teacher(wise)(batch)
    with torch.no_grad():
        expected = wise.outputs(wise.batched(list(batch)))
    assert torch.equal(outputs.predictions.classes, expected.predictions.classes)
    assert outputs.maps[0].shape[-2:] == wise.config.levels()[0].size
    assert not outputs.maps[0].is_inference()


def test_terms_work_in_bfloat16() -> None:
    student, wise = make(), make(width=0.5)
    batch = images()
    for config in (ChannelWise(location="both"), Logits()):
        term = distillation_term(config, student, wise)
        with torch.autocast("cpu", torch.bfloat16):
            losses = term(student, batch, student.outputs(batch))
        assert all(x.dtype == torch.float32 and torch.isfinite(x) for x in losses.values())


def test_nothing_in_common_is_refused_with_what_would_do() -> None:
    student, other = make(), make(strides=(6,))
    with pytest.raises(ValueError, match=r"\[96, 24, 6\] priors .* channel_wise compares any"):
        distillation_term(Logits(), student, other)
    tiny, huge = (make(size=size).config.model_copy(update={"neck": ()}) for size in (64, 512))
    with pytest.raises(ValueError, match=r"the teacher's is points; channel_wise compares any"):
        distillation_term(Logits(), student, of_paper("yolox_tiny", input_size=64))
    with pytest.raises(ValueError, match=r"student's are 4x4, 2x2 .* teacher's 32x32, 16x16"):
        check_distillation(ChannelWise(), tiny, huge)
    check_distillation(ChannelWise(), student.config, other.config)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (("disc", "square"), "trained for disc, ring, but the data have disc, square"),
        (("ring", "disc"), "in the same order"),
        (("disc", "ring", "cross"), "disc, ring, cross"),
    ],
)
def test_a_teacher_of_other_classes_is_refused(classes: tuple[str, ...], expected: str) -> None:
    teacher = make()
    check_classes(teacher, ("disc", "ring"))
    with pytest.raises(ValueError, match=expected):
        check_classes(teacher, classes)


def test_a_teacher_without_class_names_is_compared_by_number_of_classes() -> None:
    teacher = Detector(make().config)
    check_classes(teacher, ("any", "two"))
    with pytest.raises(ValueError, match="trained for 2 classes, but the data have 3"):
        check_classes(teacher, ("a", "b", "c"))


def test_a_pass_without_its_boxes_per_cell_fails_loudly() -> None:
    """A term made for one detector does not read another's outputs in silence."""
    student, other = make(), make(strides=(6,))
    term = distillation_term(ChannelWise(), student, make(seed=1))
    assert isinstance(term, ChannelWiseTerm)
    batch = images()
    with pytest.raises((ValueError, RuntimeError)):
        term(student, batch, other.outputs(batch))
