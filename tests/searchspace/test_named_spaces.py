"""The spaces that ship: what they hold of the papers, and that what they draw can be built."""

from __future__ import annotations

from collections.abc import Iterator

import optuna
import pytest
from pydantic import ValidationError

from searchspace import Space, TrialConfig, load_space, papers

MOBILE = [
    "ssdmnetv1", "ssdmnetv1_size512", "ssdmnetv1_early", "ssdmnetv1_anchor10", "ssdmnetv1_s1l6",
    "ssdmnetv1_s1l4", "ssdmnetv1_s1l0", "ssdmnetv1_s1l4_fmap1", "ssdmnetv1_s1l0_fmap1",
    "ssdmnetv1_s2l4-6", "ssdmnetv1_s2l0-6", "ssdmnetv1_s1l0_dualpath19_c",
    "ssdmnetv1_s1l0_dualpath19_10_c", "ssdmnetv1_s1l0_dualpath19_10_s",
]  # fmt: skip
VGG = [
    "ssd300_vgg16", "ssd300_vgg16_11620", "ssd512_vgg16", "ssd512_vgg16_32756", "fssd300",
    "fssd300_11620", "fssd512", "fssd300_abl_c3c7_concat_bn_b", "fssd300_abl_c4fc7_concat_bn_b",
    "fssd300_abl_c3c7_concat_nobn_b", "fssd300_abl_c3c7_sum_bn_b", "fssd300_abl_c4c7_concat_bn_a",
    "fssd300_abl_c4c7_concat_bn_c", "mfssd", "mfssd_bn", "mfssd_pruned", "ssd_vgg16_s1l2",
    "ssd_vgg16_s1l2_dualpath",
]  # fmt: skip
MDSSD = ["mdssd300", "mdssd512", "mdssd320_r101", "mdssd512_r101"]
ANCHOR_FREE = [
    "yolox_tiny", "yolox_s", "gfl_r50", "gfl_r101", "yolox_tiny_copy_paste", "yolox_tiny_weighted",
    "gfl_r50_copy_paste", "gfl_r50_weighted", "gfl_r101_teacher_copy_paste",
    "yolox_tiny_distilled", "gfl_r50_distil_1", "gfl_r50_distil_2",
]  # fmt: skip
HELD = {
    "quick": [
        "ssdmnetv1",
        "ssdmnetv1_early",
        "ssdmnetv1_anchor10",
        *(f"ssdmnetv1_s1l{layer}" for layer in (6, 4, 0)),
    ],
    "mobile": MOBILE,
    "papers": [*MOBILE, *VGG, *MDSSD],
    "anchor_free": ANCHOR_FREE,
    "tiles": MOBILE,
    "full": [*MOBILE, *VGG, "ssd_vgg16_003", *MDSSD, *ANCHOR_FREE],
}
"""The papers' systems of each space; those that become the same, and readings, are there once."""

REFUSED = 0.33
"""The largest share of random draws that may not go together."""


def draws(space: Space, count: int, seed: int = 0) -> Iterator[TrialConfig | None]:
    """Random configurations; None for one that was refused."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(count):
        try:
            yield space.suggest(study.ask())
        except ValidationError:
            yield None


@pytest.mark.parametrize("name", HELD)
def test_the_papers_systems_are_in_the_space(name: str) -> None:
    space = load_space(name)
    found = space.papers()
    assert sorted(found) == sorted(HELD[name])
    for system, config in found.items():
        theirs = papers[system].trial.detector
        # Other initial weights than the paper's may have another activation.
        ours, published = (
            d.model_dump(exclude={"activation"})
            for d in (config.detector.backbone, theirs.backbone)
        )
        assert ours == published
        assert config.detector.neck == theirs.neck
        assert space.holds(config)
        if name != "quick" and isinstance(theirs.input_size, int):
            assert config.detector.input_size == theirs.input_size
            assert config.detector.width == theirs.width


def test_every_system_of_the_papers_is_in_the_full_space_in_some_form() -> None:
    full = load_space("full")
    theirs = {name: system.trial for name, system in papers.items()}
    # One by one: of several readings of a system, the space lists one.
    held = {name: full.nearest(trial).detector for name, trial in theirs.items()}
    missing = [
        name
        for name, trial in theirs.items()
        if (held[name].backbone, held[name].neck) != (trial.detector.backbone, trial.detector.neck)
    ]
    assert missing == []


@pytest.mark.parametrize("name", HELD)
def test_few_random_draws_are_refused(name: str) -> None:
    configs = list(draws(load_space(name), 300))
    assert configs.count(None) < REFUSED * len(configs)
