from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from detectors.detector import Detector
from detectors.timing.cost import Cost
from launch.cli import main as cli
from launch.cli.fps import Row, measure_rows, notes
from launch.cli.models import find_detector
from launch.cli.terminal import console
from searchspace import TrialConfig
from searchspace.measuring import MeasureConfig

CPU = torch.device("cpu")
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `sparrow fps ARGUMENTS`; gives the exit status and all that was printed."""
    monkeypatch.setattr(console, "width", 200)

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["sparrow", "fps", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out + captured.err

    return run


@pytest.fixture
def trial(tiny: TrialConfig, tmp_path: Path) -> Path:
    file = tmp_path / "trial.json"
    file.write_text(tiny.model_dump_json())
    return file


@pytest.fixture
def saved(tiny: TrialConfig, tmp_path: Path) -> Path:
    return Detector(tiny.detector).save(tmp_path / "saved")


def test_a_trial_and_a_saved_detector_share_tables(run: Run, trial: Path, saved: Path) -> None:
    code, text = run(trial, saved, "--runtime", "eager", "--seconds", 0.1, "--device", "cpu")
    assert code == 0
    rows = [line for line in text.splitlines() if "eager float32" in line and line[0] == "│"]
    # One table of speeds, one of what else they take.
    assert [row.split("│")[1].strip() for row in rows] == [str(trial), str(saved)] * 2
    for heading in ("FPS", "95 %", "Network FPS", "p99", "Params", "MACs"):
        assert heading in text
    assert "1 thread, batch 1" in text


def test_long_names_leave_all_figures_in_a_narrow_terminal(
    run: Run, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "width", 80)
    _, text = run(saved, "--runtime", "eager", "--seconds", 0.1, "--device", "cpu")
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines if line[:1] in "┃│")
    assert "…" not in text
    for heading in ("FPS", "95 %", "Network FPS", "p50, ms", "p90", "p99", "MB", "Params", "MACs"):
        assert f" {heading} ┃" in text
    names = [line.split("│")[1].strip() for line in lines if line.startswith("│")]
    assert "".join(names) == str(saved) * 2


def test_an_unavailable_form_is_listed_next_to_available_ones(run: Run, trial: Path) -> None:
    forms = ("--runtime", "eager", "--runtime", "tensorrt")
    code, text = run(trial, *forms, "--seconds", 0.1, "--device", "cpu")
    assert code == 0
    assert "eager float32" in text
    assert f"{trial}: tensorrt" in text


@pytest.mark.parametrize(
    ("arguments", "message", "status"),
    [
        (
            ("mfssd_b",),
            "mfssd_b: neither a file nor a paper's system; the nearest one is mfssd_bn",
            2,
        ),
        (("mfssd", "--runtime", "onxruntime"), "there is no runtime 'onxruntime'", 2),
        (("mfssd", "--precision", "int8"), "precision int8 under runtime auto: name the", 2),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_anything_is_timed(
    run: Run, monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], message: str, status: int,
) -> None:  # fmt: skip
    monkeypatch.setattr("launch.cli.fps.measure_together", lambda *_: pytest.fail("timed"))
    code, text = run(*arguments)
    assert code == status
    assert message in text


def test_rows_keep_the_order_of_detectors_and_forms(tiny: TrialConfig) -> None:
    wide = tiny.detector.model_copy(update={"width": 0.5})
    detectors = {"narrow": Detector(tiny.detector), "wide": Detector(wide)}
    forms = [
        MeasureConfig(runtime=name, runs=1, passes=1)
        for name in ("eager", "tensorrt", "channels_last")
    ]
    rows = measure_rows(detectors, forms, CPU)
    assert [(row.name, row.runtime) for row in rows] == [
        (name, form.runtime) for name in detectors for form in forms
    ]
    assert [isinstance(row.outcome, Cost) for row in rows] == [True, False, True] * 2
    assert rows[0].outcome.params == rows[2].outcome.params < rows[3].outcome.params
    assert [row.outcome.runtime for row in rows[::3]] == ["eager", "eager"]


def test_notes_say_why_a_figure_is_not_to_be_trusted() -> None:
    figures = {"fps": 1.0, "latency_ms": 1.0, "spread": 0, "params": 1, "macs": 1}
    cost = Cost(**figures, device="x", threads=1, doubt="it was noisy")
    sure = cost.model_copy(update={"trusted": True, "doubt": None})
    rows = [Row("a", "eager", cost), Row("b", "eager", sure), Row("c", "openvino", "not there")]
    assert list(notes(rows)) == [
        "a (eager float32) is not trusted: it was noisy",
        "c: not there",
    ]


def test_an_untrained_detector_is_the_same_each_time(trial: Path) -> None:
    state = torch.get_rng_state()
    first, second = find_detector(str(trial)), find_detector(str(trial))
    assert torch.equal(torch.get_rng_state(), state)
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not first.training


def test_rows_as_json(run: Run, trial: Path) -> None:
    forms = ("--runtime", "eager", "--runtime", "tensorrt")
    code, text = run(trial, *forms, "--seconds", 0.1, "--device", "cpu", "--json")
    measured, missing = json.loads(text)
    assert (code, measured["detector"], measured["reason"]) == (0, str(trial), None)
    assert measured["cost"]["fps"] > 0
    assert missing["cost"] is None
    assert missing["reason"]
