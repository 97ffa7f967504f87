"""`sparrow predict` on videos."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from detectors.models import load_model
from detectors.thresholds import Threshold, Thresholds, thresholds_file, write_thresholds
from detectors.videos import Video, open_video
from launch.cli import predict_video
from tests.launch.cli.test_predict import detector_of

av = pytest.importorskip("av", reason="needs the extra `video`")

Run = Callable[..., tuple[int, str]]

FRAMES, RATE, WIDTH, HEIGHT = 20, 10, 98, 64


def filmed(path: Path, rotation: int = 0, **options: str) -> Path:
    """A square that moves to the right, on a ground that changes."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(FRAMES):
            picture = np.full((HEIGHT, WIDTH, 3), 10 * number, np.uint8)
            picture[:16, :16] = 255
            picture[40:60, 3 * number : 3 * number + 20] = rng.integers(0, 256, (20, 20, 1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filmed(tmp_path_factory.mktemp("video") / "street.mp4", movflags="+faststart")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return detector_of(tmp_path_factory.mktemp("saved") / "detector", ["bee", "wasp"])


def test_boxes_are_drawn_into_a_video_that_keeps_its_times(
    run: Run, saved: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict_video, "BATCH", 3)  # the last batch is smaller
    out = tmp_path / "drawn"
    code, text = run("predict", saved, video, "--out", out, "--every", 4, "--threshold", 0.01)
    assert code == 0, text
    assert "on 5 frames" in text
    with open_video(out / "street.mp4") as made:
        frames = list(made.read())
    assert [frame.image.shape for frame in frames] == [(3, HEIGHT, WIDTH)] * 5
    assert [frame.time for frame in frames] == pytest.approx([0.0, 0.4, 0.8, 1.2, 1.6])
    with (out / "detections.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["frame"] for row in rows} <= {"0", "4", "8", "12", "16"}
    assert {float(row["time"]) for row in rows} <= {0.0, 0.4, 0.8, 1.2, 1.6}
    with open_video(video) as original:
        fourth = list(original.read())[4].image
    assert rows
    # Where boxes are drawn, the picture differs from the one that was filmed.
    assert (frames[1].image.int() - fourth.int()).abs().max() > 60


def test_rows_are_those_of_the_model_on_each_frame(
    run: Run, saved: Path, video: Path, tmp_path: Path
) -> None:
    model = load_model(saved)
    with open_video(video) as opened:
        expected = [model.detect([frame.image])[0] for frame in opened.read(5)]
    out = tmp_path / "found.json"
    code, text = run(
        "predict", saved, video, "--to", "coco", "--out", out, "--every", 5, "--json"
    )  # fmt: skip
    assert code == 0, text
    rows = json.loads(out.read_text())
    assert {row["file_name"] for row in rows} == {"street.mp4"}
    assert '"frames": 4' in text
    for place, number in enumerate((0, 5, 10, 15)):
        mine = [row for row in rows if row["image_id"] == number]
        assert [row["score"] for row in mine] == pytest.approx(expected[place]["scores"].tolist())
        x, y, width, height = mine[0]["bbox"]
        corners = expected[place]["boxes"][0].tolist()
        assert [x, y, x + width, y + height] == pytest.approx(corners)
        assert {row["category_id"] for row in mine} <= {1, 2}


def test_chosen_thresholds_hold_for_videos_too(
    run: Run, saved: Path, video: Path, tmp_path: Path
) -> None:
    never = {"bee": Threshold(score=None), "wasp": Threshold(score=0.0)}
    write_thresholds(saved, Thresholds(rule="f1", images=1, classes=never))
    try:
        code, text = run("predict", saved, video, "--to", "csv", "--out", tmp_path / "found.csv")
    finally:
        thresholds_file(saved).unlink()
    assert code == 0, text
    assert "bee never, wasp 0.00" in text
    lines = (tmp_path / "found.csv").read_text().splitlines()
    assert len(lines) > 1
    assert {line.split(",")[2] for line in lines[1:]} == {"wasp"}


def test_a_damaged_video_is_an_error_that_keeps_what_came_before(
    run: Run, saved: Path, video: Path, tmp_path: Path
) -> None:
    content = video.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 3 // 4])
    out = tmp_path / "found.csv"
    code, text = run(
        "predict", saved, tmp_path / "cut.mp4", "--to", "csv", "--out", out, "--threshold", 0
    )  # fmt: skip
    assert code == 1
    assert re.search(r"cut\.mp4: (damaged|it ends) after", text)
    assert f"{out} has the" in text
    assert len(out.read_text().splitlines()) > 1
    out = tmp_path / "none.csv"
    for name, wrong in (("text.mp4", "no video" * 100), ("empty.mp4", "")):
        (tmp_path / name).write_text(wrong)
        code, text = run("predict", saved, tmp_path / name, "--to", "csv", "--out", out)
        assert code == 1
        assert f"{name}: not a video, or cut off" in text
        assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a.mp4", "--to", "yolo", "--out", "x"), "of a video there are pictures, csv, coco"),
        (("a.mp4", "b.mp4"), "give one video"),
        (("a.jpg", "--every", "2"), "it goes with a video only"),
        (("a.mp4",), "a.mp4: no such file"),
        (("a.mp4", "--data", "d"), "--data: it does not go with a video"),
        (("a.mp4", "--images", "d"), "--images: it does not go with a video"),
        (("a.mp4", "--cache-gb", "1"), "--cache-gb: it is about images"),
        (("a.mp4", "--skip-bad"), "--skip-bad: it is about images"),
        (("a.mp4", "--no-links"), "--links: it is about images"),
        (("a.mp4", "--max-megapixels", "1"), "--max-megapixels: it is about images"),
    ],
)
def test_what_does_not_go_together_is_refused(
    run: Run, saved: Path, arguments: tuple[str, ...], words: str
) -> None:
    code, text = run("predict", saved, *arguments)
    assert code in (1, 2)
    assert words in " ".join(text.split())


def test_frames_are_turned_as_players_turn_them(tmp_path: Path) -> None:
    """The white corner, top left as stored, is at the bottom left after a quarter turn to the
    left."""
    path = filmed(tmp_path / "turned.mp4", rotation=90)
    with open_video(path) as video:
        frame = next(video.read())
    assert frame.image.shape == (3, WIDTH, HEIGHT)
    corners = {
        "top left": frame.image[:, :8, :8], "bottom left": frame.image[:, -8:, :8],
    }  # fmt: skip
    means = {name: part.float().mean().item() for name, part in corners.items()}
    assert means["bottom left"] > 200 > 100 > means["top left"]


def test_frames_are_decoded_when_they_are_asked_for(video: Path) -> None:
    with open_video(video) as opened:
        assert isinstance(opened, Video)
        assert opened.frames == FRAMES
        first = next(opened.read())
        assert first.image.dtype == torch.uint8
