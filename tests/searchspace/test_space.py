from __future__ import annotations

import math
from pathlib import Path

import optuna
import pytest

from searchspace import (
    OutsideSpace,
    Space,
    SpaceError,
    TrialConfig,
    load_space,
    papers,
    space_names,
    to_params,
)
from searchspace.domains import Choice, Fixed, FloatRange, IntRange

GOOD = """
seed = 3
[detector]
width = 0.25
input_size = { low = 64, high = 128, step = 32 }
[detector.backbone.mobilenet_v1]
eliminated_strides = { choice = [[], [4, 6]] }
[detector.head.multibox.priors]
kind = { choice = ["scaled"] }
[train]
batch_size = { low = 4, high = 64, log = true }
learning_rate = { low = 1e-3, high = 1e-1, log = true }
weights = "none"
[train.copy_paste]
copies = 0
[train.small_objects]
weight = 1
[compress.pruning]
kind = "none"
"""

BAD = {
    "unknown field": ("[detector]\nwith = 0.5", ["detector.with", "nearest", "detector.width"]),
    "field of another kind": (
        "[compress.pruning.none]\nratio = 0.5",
        ["compress.pruning.none.ratio", "compress.pruning.importance.ratio"],
    ),
    "kind left out": (
        "[compress.pruning]\nratio = 0.5",
        ["compress.pruning.ratio", "the nearest one is compress.pruning."],
    ),
    "unknown kind": (
        '[detector.backbone]\nkind = "vgg99"',
        ["detector.backbone.kind", "vgg99", "mobilenet_v1"],
    ),
    "a section that is a field": ("detector = 3", ["detector", "nearest"]),
    "text for a number": ('[detector]\nwidth = "wide"', ["detector.width", "wide", "number"]),
    "text among numbers": (
        '[detector]\nwidth = { choice = [0.5, "wide"] }',
        ["detector.width", "wide"],
    ),
    "out of the field's bounds": ("[detector]\nwidth = 3", ["detector.width", "3", "2"]),
    "a fraction of an integer": ("[train]\nepochs = 1.5", ["train.epochs", "1.5", "an integer"]),
    "unknown literal": ('[train]\nprecision = "int3"', ["train.precision", "int3", "bfloat16"]),
    "half a range": ("[train]\nepochs = { low = 1 }", ["train.epochs", "low", "high", "choice"]),
    "choice and range": (
        "[train]\nepochs = { choice = [1], low = 1, high = 2 }",
        ["train.epochs", "choice", "low"],
    ),
    "unknown key": (
        "[train]\nepochs = { low = 1, high = 2, stride = 1 }",
        ["train.epochs", "stride"],
    ),
    "a choice of no list": ("[train]\nepochs = { choice = 3 }", ["train.epochs", "choice"]),
    "no options": ("[train]\nepochs = { choice = [] }", ["train.epochs", "at least one option"]),
    "reversed": ("[train]\nepochs = { low = 3, high = 1 }", ["train.epochs", "not a range"]),
    "step beside the range": (
        "[train]\nepochs = { low = 1, high = 4, step = 2 }",
        ["train.epochs", "not a range"],
    ),
    "step of nothing": ("[train]\nepochs = { low = 1, high = 4, step = 0 }", ["train.epochs"]),
    "step of a real range": (
        "[train]\nlearning_rate = { low = 0.1, high = 0.4, step = 0.1 }",
        ["train.learning_rate", "step"],
    ),
    "logarithm of zero": (
        "[train]\nweight_decay = { low = 0.0, high = 1.0, log = true }",
        ["train.weight_decay", "not a range"],
    ),
    "infinite range": (
        "[train]\nlearning_rate = { low = 0.1, high = inf }",
        ["train.learning_rate", "inf"],
    ),
    "a range of text": (
        '[train]\nweights = { low = "none", high = "shapes" }',
        ["train.weights", "none"],
    ),
    "a range of lists": (
        "[detector.backbone.mobilenet_v1]\neliminated_strides = { low = [], high = [6] }",
        ["eliminated_strides"],
    ),
}


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    return file


def test_a_file_fixes_narrows_and_widens(tmp_path: Path) -> None:
    space = load_space(written(tmp_path, GOOD))
    assert space.name == "mine"
    assert dict(space.domains) == {
        "seed": Fixed(3),
        "detector.width": Fixed(0.25),
        "detector.input_size": IntRange(64, 128, step=32),
        "detector.backbone.mobilenet_v1.eliminated_strides": Choice((), (4, 6)),
        "detector.head.multibox.priors.kind": Choice("scaled"),
        "train.batch_size": IntRange(4, 64, log=True),
        "train.learning_rate": FloatRange(1e-3, 1e-1, log=True),
        "train.weights": Fixed("none"),
        "train.copy_paste.copies": Fixed(0),
        "train.small_objects.weight": Fixed(1.0),
        "compress.pruning.kind": Fixed("none"),
    }
    assert [path for path, _ in space.searched()] == [
        "detector.input_size",
        "detector.backbone.mobilenet_v1.eliminated_strides",
        "detector.head.multibox.priors.kind",
        "detector.head.multibox.priors.scaled.cells",
        "train.batch_size",
        "train.learning_rate",
    ]
    config = space.suggest(optuna.create_study().ask())
    assert (config.seed, config.detector.width, config.compress.pruning.kind) == (3, 0.25, "none")
    assert space.holds(config)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_reported_with_its_problem(tmp_path: Path, name: str) -> None:
    text, fragments = BAD[name]
    file = written(tmp_path, text)
    with pytest.raises(SpaceError) as caught:
        load_space(file)
    message = str(caught.value)
    assert str(file) in message
    assert [fragment for fragment in fragments if fragment not in message] == []


def test_what_is_not_toml_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"mine\.toml: is not TOML .*line 1"):
        load_space(written(tmp_path, "detector = = 3"))
    with pytest.raises(SpaceError, match=r"'quikc': neither a named space \(.*quick.*\) nor"):
        load_space("quikc")
    with pytest.raises(SpaceError, match="neither a named space"):
        load_space(tmp_path / "absent.toml")


def test_a_binary_file_is_a_space_error(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpaceError, match=r"mine\.toml"):
        load_space(file)


def test_fix_takes_a_path_out_of_the_search() -> None:
    space = load_space("quick")
    fixed = space.fix("detector.num_classes", 9).fix("detector.width", 0.5)
    assert fixed.suggest(optuna.create_study().ask()).detector.num_classes == 9
    assert "detector.width" in dict(space.searched())
    assert "detector.width" not in dict(fixed.searched())
    assert fixed.size() == space.size()
    config = fixed.baseline()
    assert "detector.width" not in fixed.to_params(config)
    assert fixed.holds(config)
    assert not space.holds(config)
    with pytest.raises(OutsideSpace, match=r"detector\.num_classes: 9 is not 4"):
        space.to_params(config)
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        space.fix("detector.num_classes", 0)


def test_size_multiplies_fields_and_adds_kinds(tmp_path: Path) -> None:
    text = GOOD.replace("learning_rate", "# ").replace('kind = "none"', "")
    space = load_space(written(tmp_path, text))
    unpruned = 3 * 2 * 4 * 61  # input sizes, strides, prior sizes, batch sizes
    assert space.fix("compress.pruning.kind", "none").size() == unpruned
    assert space.size() == math.inf
    ratios = Choice(0.2, 0.4, 0.6)
    slimming = "compress.pruning.slimming"
    kinds = Choice("none", "slimming")
    narrow = Space(
        "n", {**space.domains, "compress.pruning.kind": kinds, f"{slimming}.ratio": ratios}
    )
    for field, value in (("distillation.kind", "none"), ("scope", "global"), ("round_to", 1)):
        narrow = narrow.fix(f"{slimming}.{field}", value)
    assert narrow.fix(f"{slimming}.sparsity", 1e-4).size() == unpruned * (1 + 3)


@pytest.mark.parametrize("name", [*space_names(), None])
def test_the_baseline_is_the_stock_detector_unpruned(name: str | None) -> None:
    space = load_space(name) if name else Space("all", {})
    baseline = space.baseline()
    assert space.holds(baseline)
    assert baseline.compress.pruning.kind == "none"
    assert baseline.detector.backbone.eliminated_strides == ()
    stock = papers["ssdmnetv1"].trial.detector
    sizes = dict(space.searched())["detector.input_size"].options
    assert baseline.detector.input_size == min(sizes, key=lambda s: abs(s - stock.input_size))
    if name != "anchor_free":  # which has neither this backbone nor this neck
        assert baseline.detector.backbone.kind == "mobilenet_v1"
        assert baseline.detector.neck == stock.neck


def test_the_whole_configuration_is_a_space_too() -> None:
    space = Space("all", {})
    assert space.size() == math.inf
    assert space.to_params(space.baseline()) == to_params(space.baseline())
    assert not space.holds(TrialConfig(seed=1))


def test_tables_in_tables_without_end_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path, f"[{'.'.join('a' * 3000)}]\nx = 1")
    with pytest.raises(SpaceError, match="nested too deeply"):
        load_space(file)


def test_a_long_chain_of_files_is_refused(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number}.toml").write_text(f'extends = "{number + 1}.toml"')
    with pytest.raises(SpaceError, match="files extend each other"):
        load_space(tmp_path / "0.toml")
