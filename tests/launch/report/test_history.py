"""Learning curves of trials that never ran."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from launch.files import PROGRESS
from launch.report.history import history, history_table, write_events
from searchspace.errors import InputError
from tests.launch.report.studies import record

RECORDS = [record(0, 0.1), record(1, 0.2), record(2, 0.3)]


def epoch(stage: str, number: int, loss: float) -> dict[str, object]:
    part = "dense" if stage == "train" else "compact"
    return {
        "stage": stage, "part": part, "epoch": number, "losses": {"box": loss, "class": 1.0},
        "rate": 0.01, "images_per_s": 100.0, "seconds": 2.0,
    }  # fmt: skip


def scored(part: str, number: int, ap: float, **more: object) -> dict[str, object]:
    return {"stage": "evaluate", "part": part, "epoch": number, "figures": {"ap": ap}, **more}


FIRST = [
    {"stage": "train", "key": "train-a"}, epoch("train", 1, 3.0),
    scored("dense", 1, 0.05, midway=True),
    # Its process was lost, and its checkpoint damaged.
    {"stage": "train", "key": "train-a"}, epoch("train", 1, 3.5), epoch("train", 2, 2.0),
    scored("dense", 2, 0.10), {**scored("dense", 2, 0), "figures": {"fps": 50.0}},
    {"stage": "finetune", "key": "finetune-a"}, epoch("finetune", 1, 1.0),
    scored("compact", 1, 0.12),
]  # fmt: skip
SECOND = [
    {"stage": "train", "key": "train-a"}, {"stage": "train", "key": "train-a", "reused": True},
    scored("dense", 2, 0.10), {"stage": "finetune", "key": "finetune-b"},
    scored("compact", 0, 0.08),
]  # fmt: skip


@pytest.fixture
def study(tmp_path: Path) -> Path:
    for number, lines in enumerate((FIRST, SECOND)):
        folder = tmp_path / f"trials/{number:04}"
        folder.mkdir(parents=True)
        text = "".join(json.dumps({"time": 100.0 + i, **x}) + "\n" for i, x in enumerate(lines))
        (folder / PROGRESS).write_text(text + '{"time": 1')
    return tmp_path


def test_a_row_for_each_epoch_with_the_figures_of_its_end(study: Path) -> None:
    table = history_table(history(study, RECORDS))
    first = table[table["number"] == 0]
    assert list(zip(first["part"], first["epoch"], first["evaluation"], strict=True)) == [
        ("dense", 1, "midway"), ("dense", 2, "dense"), ("compact", 1, "compact"),
    ]  # fmt: skip
    assert list(first["loss_box"]) == [3.5, 2.0, 1.0]
    assert list(first["ap"]) == [0.05, 0.10, 0.12]
    assert first["fps"].dropna().tolist() == [50.0]
    assert set(first["rate"]) == {0.01}

    # Trial 1 shares the training, and was not fine-tuned; trial 2 is of an earlier version.
    second = table[table["number"] == 1]
    assert list(zip(second["part"], second["epoch"], strict=True)) == [
        ("dense", 1), ("dense", 2), ("compact", 0),
    ]  # fmt: skip
    assert second["trained_by"].fillna(-1).tolist() == [0, 0, -1]
    assert second["loss_box"].fillna(-1).tolist() == [3.5, 2.0, -1]
    assert second["ap"].fillna(-1).tolist() == [-1, 0.10, 0.08]
    assert 2 not in set(table["number"])


def test_some_trials_are_named(study: Path) -> None:
    assert {point.number for point in history(study, RECORDS, [1])} == {1}
    with pytest.raises(InputError, match="trial 9: the study has no such trial"):
        history(study, RECORDS, [9])
    assert len(history_table([])) == 0


def scalars(folder: Path) -> list[tuple[str, int, float]]:
    """The scalars in the event files of a folder."""
    found = []
    for file in folder.glob("events.*"):
        data = file.read_bytes()
        while data:
            size = int.from_bytes(data[:8], "little")
            assert masked_crc32c(data[:8]) == int.from_bytes(data[8:12], "little")
            event = Event.FromString(data[12 : 12 + size])
            found += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
            data = data[16 + size :]
    return found


def test_tensorboard_reads_the_same_curves(study: Path, tmp_path: Path) -> None:
    points = history(study, RECORDS)
    for _ in range(2):  # again, while the search goes on
        assert write_events(points, tmp_path / "events") == 2
    found = scalars(tmp_path / "events/0000")
    losses = [(step, value) for tag, step, value in found if tag == "loss/box"]
    assert losses == [(1, 3.5), (2, 2.0), (3, 1.0)]
    figures = [(step, round(value, 3)) for tag, step, value in found if tag == "metrics/ap"]
    assert figures == [(1, 0.05), (2, 0.1), (3, 0.12)]
    table = history_table(points)
    assert len([tag for tag, *_ in found if tag.startswith("loss")]) == 2 * 3
    assert pandas.notna(table["loss_class"]).sum() == 5
