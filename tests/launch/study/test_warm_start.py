"""Known results: read, reported to the sampler, never run again."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState

from launch.constraints import Constraint
from launch.report import write_report
from launch.study.known import KnownResults
from launch.study.known_csv import CsvError, read_rows
from launch.study.opening import open_study
from launch.study.settings import StudySettings
from launch.study.study import Study
from launch.study.warm_start import KnownError, read_known
from searchspace import Space
from searchspace.domains import Choice
from tests.launch.made_up import altered, result, told
from tests.launch.study.test_study import finish_all, settings

__all__ = ["settings"]

FIGURES = ("ap_small", "fps")
SIZE, STRIDES = "detector.input_size", "detector.backbone.mobilenet_v1.eliminated_strides"
CELLS, COPIES = "detector.head.multibox.priors.scaled.cells", "train.copy_paste.copies"
KIND, RATIO = "compress.pruning.kind", "compress.pruning.slimming.ratio"


@pytest.fixture
def slim(space: Space) -> Space:
    """Unpruned, or pruned by one way at one of two ratios."""
    fixed = {"scope": "global", "round_to": 1}
    for name, value in fixed.items():
        space = space.fix(f"compress.pruning.slimming.{name}", value)
    return Space("slim", {**space.domains, KIND: Choice("none", "slimming")})


NAMES = f"{SIZE},{STRIDES},{CELLS},{COPIES},{KIND},{RATIO},ap_small,fps"
UNPRUNED = "64,[6],2.0,0,none,,0.1,50"
PRUNED = "96,[],2.80,1,slimming,0.5,0.25,1e2"


def write(folder: Path, *lines: str) -> Path:
    file = folder / "known.csv"
    file.write_text("\n".join([*lines, ""]))
    return file


def test_rows_are_results(slim: Space, tmp_path: Path) -> None:
    file = write(tmp_path, NAMES, UNPRUNED, "", PRUNED)
    unpruned, pruned = read_rows(file, slim, FIGURES)
    expected = {SIZE: 64, STRIDES: "[6]", CELLS: 2.0, COPIES: 0, KIND: "none"}
    assert unpruned == (expected, {"ap_small": 0.1, "fps": 50.0})
    assert pruned[0][RATIO] == 0.5
    assert pruned[1] == {"ap_small": 0.25, "fps": 100.0}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([NAMES.replace("input_size", "inputsize"), UNPRUNED], ["line 1, column 1", SIZE]),
        ([NAMES.replace("ap_small", "apsmall"), UNPRUNED], ["column 7", "one is ap_small"]),
        ([f"{NAMES},fps", f"{UNPRUNED},1"], ["line 1, column 9", "fps appears twice"]),
        ([NAMES.removesuffix(",fps"), UNPRUNED], ["line 1", "no column fps", "objective"]),
        ([NAMES, UNPRUNED, "64,[6]"], ["line 3", "2 cells under 8"]),
        ([NAMES, UNPRUNED.replace("64", "65")], [f"line 2, column {SIZE}", "'65' is not one of"]),
        ([NAMES, UNPRUNED.replace("[6]", "[5]")], [STRIDES, "is not one of [], [6]"]),
        ([NAMES, PRUNED.replace("0.5", "")], [f"column {RATIO}", "needs a value there"]),
        ([NAMES, UNPRUNED.replace("none,", "none,0.5")], [RATIO, "is inactive with", "empty"]),
        ([NAMES, UNPRUNED.replace(",50", ",0")], ["column fps", "'0' is not a number above 0"]),
        ([NAMES, UNPRUNED.replace("0.1", "nan")], ["column ap_small", "'nan' is not a number"]),
        ([NAMES, UNPRUNED.replace("0.1", "")], ["column ap_small", "empty"]),
        ([NAMES.replace(f"{SIZE},", ""), UNPRUNED[3:]], ["line 2", f"{SIZE}, but there is no"]),
        ([NAMES], ["no results"]),
        ([], ["no column ap_small"]),
    ],
)  # fmt: skip
def test_bad_files_are_refused_by_line_and_column(
    slim: Space, tmp_path: Path, lines: list[str], expected: list[str]
) -> None:
    with pytest.raises(CsvError) as refused:
        read_rows(write(tmp_path, *lines), slim, FIGURES)
    assert "known.csv" in str(refused.value)
    for words in expected:
        assert words in str(refused.value)


@pytest.mark.parametrize("figure", ["params", "latency_ms"])
def test_figures_compared_by_ratio_are_above_0(slim: Space, tmp_path: Path, figure: str) -> None:
    lines = (NAMES.replace("fps", figure), UNPRUNED.replace(",50", ",0"))
    with pytest.raises(CsvError, match=f"column {figure}: '0' is not a number above 0"):
        read_rows(write(tmp_path, *lines), slim, ("ap_small", figure))


def test_a_file_that_is_not_there_is_named(slim: Space, tmp_path: Path) -> None:
    with pytest.raises(CsvError, match=r"none\.csv"):
        read_known(tmp_path / "none.csv", slim, FIGURES)


@pytest.fixture
def earlier(settings: StudySettings, slim: Space, tmp_path: Path) -> Path:
    """A study of six finished trials, with its report."""
    folder = tmp_path / "earlier"
    with open_study(folder, altered(settings, space=slim.dump())) as study:
        finish_all(study)
        write_report(folder, study.records, title="t", facts={})
    return folder


def test_the_csv_of_a_front_is_a_warm_start(slim: Space, earlier: Path) -> None:
    known = read_known(earlier / "front.csv", slim, FIGURES)
    of_study = read_known(earlier, slim, FIGURES)
    assert [r.params for r in known.results] == [of_study.results[5].params]
    assert known.results[0].figures == {"ap_small": 0.5, "fps": 50.0}


def test_systems_outside_a_space_are_left_out(slim: Space, earlier: Path) -> None:
    known = read_known(earlier, slim, FIGURES)
    assert (len(known.results), known.left_out, known.device) == (6, 0, "x")
    narrow = slim.fix(COPIES, 0)
    some = read_known(earlier, narrow, FIGURES)
    assert 0 < some.left_out == 6 - len(some.results)
    assert all(COPIES not in r.params for r in some.results)
    assert f"{some.left_out} left out (trial" in some.in_words("f")
    assert COPIES in some.in_words("f")
    assert "on the same data" in some.in_words("f")
    assert "on other data" in some.in_words("g")
    with pytest.raises(KnownError, match="no result fits"):
        read_known(earlier, slim.fix("detector.num_classes", 7), FIGURES)
    with pytest.raises(KnownError, match="it has no ap50"):
        read_known(earlier, slim, (*FIGURES, "ap50"))


@pytest.fixture
def warm(settings: StudySettings, slim: Space, tmp_path: Path) -> StudySettings:
    """Of a study that knows two results, one of which breaks its constraint."""
    known = read_known(write(tmp_path, NAMES, UNPRUNED, PRUNED), slim, FIGURES)
    fast = Constraint(figure="fps", sense="min", bound=80)
    update = {"space": slim.dump(), "known": (known,), "constraints": (fast,)}
    return altered(settings, **update)


@pytest.mark.slow
def test_known_results_are_reported_before_the_first_draw_and_not_run_again(
    warm: StudySettings, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    # Any sampler will do to exhaust a space; the others take seconds for each draw.
    everything = altered(warm, trials=100, sampler="random")
    with open_study(out, everything) as study:
        first, second = told(out)
        finish_all(study)
        known = {r.config(study.space).digest() for r in warm.known[0].results}
        ran = {r.config.digest() for r in study.records}
        # All that the space holds, less what is known.
        assert len(ran) == study.space.size() - 2
    assert [t.state for t in (first, second)] == [TrialState.COMPLETE] * 2
    assert first.values == pytest.approx([0.1, 3.912023])
    assert [t.constraints["fps >= 80"] for t in (first, second)] == pytest.approx([0.375, -0.25])
    assert not known & ran


def test_known_results_survive_a_resume_and_a_lost_log(warm: StudySettings, tmp_path: Path) -> None:
    out = tmp_path / "study"
    with open_study(out, warm) as study:
        record = study.propose()
        study.end(record.number, result(record))
    with open_study(out) as study:
        assert study.settings.known == warm.known
        assert len(told(out)) == 3
    (out / "optuna.log").unlink()
    with open_study(out):
        values = sorted(t.values[0] for t in told(out))
    assert values == pytest.approx([0.1, 0.1, 0.25])


def test_planned_trials_run_even_if_their_results_are_known(
    settings: StudySettings, slim: Space, earlier: Path, tmp_path: Path
) -> None:
    known: KnownResults = read_known(earlier, slim, FIGURES)
    again = altered(settings, space=slim.dump(), known=(known,), trials=6)

    def origins(study: Study) -> list[str]:
        finish_all(study)
        return [record.origin for record in study.records]

    with open_study(tmp_path / "study", again) as study:
        assert origins(study) == ["baseline", "paper", "paper"] + ["sampler"] * 3
        assert study.records[0].params == known.results[0].params
        assert study.records[3].params not in [r.params for r in known.results]
