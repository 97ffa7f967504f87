"""Necks as they are drawn: written out, read back, and what no form can say."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.trial import FixedTrial

from searchspace import DetectorConfig, OutsideSpace, load_space, papers, to_params
from searchspace.backbones import VGG16, MobileNetV1
from searchspace.domains import Choice, Domain
from searchspace.geometry import Level
from searchspace.heads import Multibox
from searchspace.neck_forms import NECK_FORMS, SSDNeck, form_of, steps_of
from searchspace.neck_forms.dual_path import DualPathConcat, DualPathSplit
from searchspace.neck_forms.fused import Concat, Emphasis, Further, FusedNeck, Sum
from searchspace.neck_forms.growing import grown
from searchspace.necks import Step
from searchspace.necks.dual_path import Join, Split
from searchspace.necks.fusion import Fuse, Source
from searchspace.necks.growth import Extend, Growth, L2Norm
from searchspace.priors import ScaledPriors

SIZE = (300, 300)
NECK = "detector.neck"


def read(config: DetectorConfig) -> list[str]:
    """The kinds of the forms that can say a detector's neck, lists aside."""
    found = []
    for cls in (*NECK_FORMS,)[:-1]:
        form = form_of(cls, config.neck, dict(config))
        if form is not None and steps_of(form, dict(config)) == config.neck:
            found.append(form.kind)
    return found


@pytest.mark.parametrize("name", papers)
def test_every_neck_of_the_papers_has_one_form(name: str) -> None:
    kinds = read(papers[name].trial.detector)
    families = {"fssd": "fused", "mfssd": "fused", "yolox": "aggregate", "gfl": "pyramid"}
    family = next((kind for start, kind in families.items() if name.startswith(start)), "ssd")
    assert kinds == [family]


def test_ssd_with_a_second_path() -> None:
    def neck(strides: tuple[int, ...], taps: tuple[str, ...], **fields: object) -> list[Step]:
        backbone = MobileNetV1(taps=taps, eliminated_strides=strides)
        return [s for s in SSDNeck(**fields).write(backbone, SIZE) if not isinstance(s, Extend)]

    two, three = ("layer11", "layer13"), ("layer5", "layer11", "layer13")
    first = Join(level=1, side=0, feeds_growth=True)
    assert neck((0,), two, dual_path=DualPathConcat()) == [L2Norm(), first]
    assert neck((0,), two, dual_path=DualPathConcat(grown=True)) == [
        L2Norm(), first, Join(level=2, side=1)
    ]  # fmt: skip
    assert neck((0,), three, dual_path=DualPathSplit(), l2norm=False) == [Split(side=2)]
    # The path begins after layer 6, so layer 5 is not part of it.
    assert neck((6,), three, dual_path=DualPathConcat()) == [
        L2Norm(), Join(level=2, side=0, feeds_growth=True)
    ]  # fmt: skip


def test_a_fusion_is_of_all_taps_in_the_ratio_that_was_drawn() -> None:
    backbone = VGG16(taps=("conv4_3", "conv5_3", "fc7"))
    ratio = Emphasis(source=1, factor=4)
    fuse, pyramid = FusedNeck(how=Concat(ratio=ratio), channels=128).write(backbone, SIZE)
    assert fuse == Fuse(
        sources=tuple(Source(level=k, channels=c) for k, c in enumerate((128, 512, 128)))
    )
    assert (pyramid.block, pyramid.replaces, pyramid.grow[0].stride) == ("conv", True, 1)
    form = FusedNeck(how=Sum(), further=Further(), pyramid="a", at=1)
    extend, fuse, pyramid = form.write(backbone, SIZE)
    assert (extend.block, len(extend.grow)) == ("bottleneck", 2)
    assert [(s.level, s.channels) for s in fuse.sources] == [(0, 256), (1, 256), (2, 256), (4, 256)]
    assert (fuse.how, fuse.at) == ("sum", 1)
    assert (pyramid.block, pyramid.replaces, pyramid.grow[0].stride) == ("conv", False, 2)


@pytest.mark.parametrize(
    ("cells", "where"), [(38, 3), (19, 3), (10, 2), (8, 1), (5, 1), (4, 0), (3, 0), (2, 3)]
)
def test_growth_to_one_cell_is_unpadded_where_three_or_four_are_left(
    cells: int, where: int
) -> None:
    grow = grown("to_1x1", 128, Level(512, cells, cells))
    assert [k for k, growth in enumerate(grow) if not growth.padding] == [where]
    assert [growth.channels for growth in grow] == [512, 256, 256, 128]
    built = Extend(grow=grow).grown(Level(512, cells, cells), 1)
    if 2 < cells < 38:
        assert built[-1][1].cells == 1


OTHERS = {
    "another scale": (L2Norm(scale=10.0), Extend()),
    "another level": (L2Norm(level=1), Extend()),
    "other channels": (L2Norm(), Extend(grow=(Growth(channels=320),))),
    "two growths": (L2Norm(), Extend(), Extend()),
    "nothing": (),
    "a plain growth": (Extend(block="plain"),),
    "a fusion of some taps": (Fuse(sources=(Source(level=1, channels=256),)), Extend(block="conv")),
    "a fusion in three widths": (
        Fuse(sources=tuple(Source(level=k, channels=64 * (k + 1)) for k in range(2))),
        Extend(block="conv"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_a_neck_without_a_form_is_outside_the_space(name: str) -> None:
    config = DetectorConfig(neck=OTHERS[name], head=Multibox(priors=ScaledPriors()))
    assert read(config) == []
    domains: dict[str, Domain] = {"neck.kind": Choice("ssd", "fused", "pyramid", "aggregate")}
    with pytest.raises(OutsideSpace, match="not one of the kinds ssd, fused, pyramid, aggregate"):
        to_params(config, domains)


LISTED = """
[detector]
input_size = 128
[detector.neck]
kind = "listed"
[detector.neck.listed]
steps = { choice = [
    [{ kind = "extend", block = "conv" }],
    [{ kind = "l2norm", level = 1 }, { kind = "extend" }, { kind = "pyramid", channels = 64 }],
] }
"""


def test_whole_necks_may_be_listed(tmp_path: Path) -> None:
    file = tmp_path / "whole.toml"
    file.write_text(LISTED)
    space = load_space(file)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    necks = set()
    for _ in range(10):
        trial = study.ask()
        config = space.suggest(trial)
        necks.add(config.detector.neck)
        assert space.to_params(config) == trial.params
        assert space.suggest(FixedTrial(trial.params)) == config
    assert {len(neck) for neck in necks} == {1, 3}
