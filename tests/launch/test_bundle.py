"""A bundle of a study, measured without Sparrow and PyTorch, and the front that follows."""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from compress.quantisation import quantise
from detectors.data.readers import DataSource
from detectors.data.reading import read_split
from detectors.detector import Detector
from detectors.models import load_model
from detectors.runtimes import load_detector
from detectors.runtimes.contract import exported_runtime
from detectors.runtimes.whole_image import WholeImages
from detectors.timing.returned import Returned, _Times
from launch import load_front
from launch.cli.calibration import Pictures
from launch.files import BUNDLES, INT8, final_folder
from launch.records import TrialRecord
from launch.searches.bundle import Packing, write_bundle
from launch.searches.measured import measured_report
from launch.study.opening import open_study, read_records
from launch.study.settings import read_settings, settings_of
from launch.trial.data import median_size
from launch.trial.meter import first_frames
from searchspace import Space
from searchspace.compression import CompressConfig, Int8
from searchspace.errors import InputError
from searchspace.tiles import FirstLook, Tiled, TileGrid
from tests.alone import run_alone
from tests.detectors.deployable import attentive, needs_extra
from tests.launch import made_up
from tests.launch.conftest import Run

pytestmark = needs_extra

APS = (0.1, 0.3)


@pytest.fixture(scope="module")
def study(space: Space, shapes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose trials ended with detectors that were not trained."""
    folder, source = tmp_path_factory.mktemp("runs") / "mine", DataSource.from_folder(shapes_folder)
    fixed = {"train": source.train, "val": source.val, "fingerprint": "f"}
    settings = settings_of(space=space.dump(), trials=len(APS), papers=False, **fixed)
    with open_study(folder, settings) as study:
        for ap in APS:
            record = study.propose()
            assert record is not None
            config = record.config
            images = Pictures.read(source.val.images, config.detector.canvas).images
            detector = attentive(config.detector, images)
            detector.save(study.trial_folder(record) / final_folder(config))
            study.end(record.number, made_up.result(record, ap, fps=50 + record.number))
    return folder


@pytest.fixture(scope="module")
def bundle(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "bundle.zip"
    said: list[str] = []
    write_bundle(study, out, say=said.append)
    assert said == []
    return out


@pytest.fixture(scope="module")
def answer(bundle: Path) -> Path:
    """What the bundle writes, run by a Python without PyTorch and Sparrow."""
    given = ("--out", "board.json", "--seconds", 1, "--name", "a board")
    ended = run_alone(bundle, *given, cwd=bundle.parent)
    assert ended.returncode == 0, ended.stderr
    assert f"board.json: {len(APS)} detectors" in ended.stdout
    return bundle.parent / "board.json"


def test_a_device_without_pytorch_gives_the_study_a_second_front(
    run: Run, study: Path, answer: Path
) -> None:
    before = {file: file.read_bytes() for file in study.glob("*.json*")}
    code, text = run("report", study, "--measured", answer)
    assert code == 0, text
    place = study / "measured" / "board"
    assert f"Report: {place / 'report.html'}" in text
    front = load_front(place)
    assert front.trials["finished"] == len(APS)
    assert front.members[0].figures.ap_small == max(APS)
    for member in front.members:
        assert member.is_there
        assert member.load()
        assert member.figures.fps not in {50, 51}
    page = (place / "report.html").read_text()
    assert "measured on a board" in page
    assert "onnxruntime" in page
    assert {file: file.read_bytes() for file in study.glob("*.json*")} == before


def test_speeds_are_those_of_the_seconds_that_were_read(study: Path, answer: Path) -> None:
    tree = json.loads(answer.read_text())
    _, records, _ = measured_report(study, answer, answer.parent / "again")
    [group] = tree["groups"]
    assert [len(blocks) for blocks in group["blocks"]] == [1] * 5  # the space asks for one pass
    references = [blocks[0] for blocks in group["blocks"][::2]]
    nominal = min(sorted(block)[len(block) // 2] for block in references)
    for place, member in enumerate(group["members"]):
        cost = records[member["number"]].finished.final.cost
        own, around = group["blocks"][2 * place + 1][0], references[place : place + 2]
        means = [sum(block) / len(block) for block in around]
        ratio = 2 * (sum(own) / len(own)) / sum(means)
        assert cost.nominal_ms == pytest.approx(1000 * nominal, rel=0.2)
        assert cost.fps == pytest.approx(1000 / (ratio * cost.nominal_ms))
        assert (cost.device, cost.runtime, cost.threads) == ("a board", "onnxruntime", 1)
        assert not cost.trusted
        assert "fewer than 6 passes give no interval" in str(cost.doubt)


def test_a_device_that_does_not_count_stolen_time_is_measured_all_the_same(answer: Path) -> None:
    found = Returned.model_validate(json.loads(answer.read_text()))
    [group] = found.groups
    before = _Times(line="cpu  1 2 3 4", ticks=100, moment=0.0, own=0.0)
    short = group.model_copy(update={"before": before, "after": before})
    assert short.disturbance is None
    assert [*short.timings()] == [*group.timings()]


def changed(tree: dict[str, Any]) -> dict[str, Any]:
    """The same with seconds that were made up, signed with a key of one's own."""
    tree["groups"][0]["blocks"][1] = [[1e-6]]
    del tree["digest"]
    text = json.dumps(tree, sort_keys=True).encode()
    return tree | {"digest": hmac.new(bytes(32), text, hashlib.sha256).hexdigest()}


def test_what_was_changed_or_is_of_another_study_is_refused(
    run: Run, study: Path, answer: Path, tmp_path: Path
) -> None:
    file, tree = tmp_path / "x.json", json.loads(answer.read_text())
    file.write_text(json.dumps(tree | {"device": "a faster board"}))
    assert "x.json: it is not as the device wrote it" in run("report", study, "--measured", file)[1]
    file.write_text(json.dumps(changed(tree)))
    assert "x.json: it is not as the device wrote it" in run("report", study, "--measured", file)[1]
    other = tmp_path / "other"
    shutil.copytree(study, other, ignore=shutil.ignore_patterns(BUNDLES))
    code, text = run("report", other, "--measured", answer)
    assert (code, "measured with a bundle that is not of this study" in text) == (1, True)
    file.write_text("[]")
    assert "x.json: " in run("report", study, "--measured", file)[1]
    code, text = run("report", study, "--out", tmp_path / "place")
    assert (code, "it goes with --measured only" in text) == (2, True)


def test_a_damaged_bundle_measures_nothing(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
    with open(next(folder.glob("0*.onnx")), "ab") as file:
        file.write(b"x")
    ended = run_alone(folder, cwd=tmp_path)
    assert ended.returncode == 1
    assert "is damaged or missing: copy the bundle again" in ended.stderr
    assert not (tmp_path / "measured.json").exists()


def test_a_runtime_that_is_missing_or_runs_nothing_is_said(bundle: Path, tmp_path: Path) -> None:
    given = ("--runtime", "openvino")
    ended = run_alone(bundle, *given, forbidden=("openvino",), cwd=tmp_path)
    assert "error: not installed: openvino; pip install openvino" in ended.stderr
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
    about = json.loads((folder / "bundle.json").read_text())
    for member in about["members"]:
        member["runtimes"] = ["openvino"]
    (folder / "bundle.json").write_text(json.dumps(about))
    ended = run_alone(folder, "--runtime", "onnxruntime", cwd=tmp_path)
    assert "error: onnxruntime can run none of the detectors" in ended.stderr
    assert not (tmp_path / "measured.json").exists()


def test_a_bundle_says_what_it_leaves_out(run: Run, study: Path, tmp_path: Path) -> None:
    copy = tmp_path / "of mine"
    shutil.copytree(study, copy)
    records = read_records(copy)
    shutil.rmtree(copy / records[1].folder)
    code, text = run("bundle", copy, "--out", tmp_path / "b.zip", "--most", 1)
    assert code == 0, text
    assert f"warning: trial 1 is left out: {copy / records[1].folder}" in text
    assert f"{tmp_path / 'b.zip'}: 1 detector, " in text  # the baseline
    assert f"sparrow report '{copy}' --measured measured.json" in text
    shutil.rmtree(copy / "trials")
    code, text = run("bundle", copy, "--out", tmp_path / "b.zip")
    assert (code, "no detector of it can be exported" in text) == (1, True)


@pytest.mark.parametrize(
    "runtime", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.slow)]
)
def test_an_int8_detector_is_taken_as_it_was_scored(
    study: Path, tmp_path: Path, runtime: str
) -> None:
    record = read_records(study)[0]
    int8 = Int8(runtime=runtime)
    config = record.config.changed(compress=CompressConfig(quantisation=int8))
    source = read_settings(study).source
    canvas = config.detector.canvas
    images = Pictures.read(source.val.images, canvas).images
    folder = tmp_path / record.folder / INT8
    quantise(
        Detector.load(study / record.folder / final_folder(record.config)), int8, images, folder
    )
    work = tmp_path / "work"
    work.mkdir()
    val = read_split(source.val)
    held = Packing(tmp_path, work, val).add(record.model_copy(update={"config": config}))
    assert (held.precision, held.runtimes) == ("int8", (runtime,))
    suffixes = {"onnxruntime": {".onnx"}, "openvino": {".bin", ".xml"}}[runtime]
    assert {Path(name).suffix for name in held.files} == suffixes
    frames = first_frames(val, canvas)[:1].float() / 255
    found = exported_runtime(runtime).graph.load(work / held.model)
    boxes, scores, _ = found.runner("int8", found.outputs())(frames)
    expected = load_detector(folder).detect(frames)
    torch.testing.assert_close(scores, expected.scores, atol=2e-2, rtol=0)
    assert boxes.shape == expected.boxes.shape


def test_a_file_in_a_bundle_cuts_whole_images(study: Path, tmp_path: Path) -> None:
    """What cannot be cut inside is left out."""
    record = read_records(study)[0]
    tiles = TileGrid(rows=2, columns=2)
    source = read_settings(study).source
    val = read_split(source.val)

    def cutting(tiles: Tiled, **changed: object) -> TrialRecord:
        detector = record.config.detector.changed(tiles=tiles)
        return record.model_copy(
            update={"config": record.config.changed(detector=detector, **changed)}
        )

    own = cutting(tiles)
    folder = tmp_path / record.folder / final_folder(own.config)
    plain = Detector.load(study / record.folder / final_folder(record.config))
    detector = Detector(own.config.detector, plain.classes).eval()
    detector.load_state_dict(plain.state_dict())
    detector.save(folder)
    (tmp_path / "work").mkdir()
    packing = Packing(tmp_path, tmp_path / "work", val)
    held = packing.add(own)
    size = median_size(val)
    assert held.images == f"images-{size[0]}x{size[1]}-stretch.npy"
    frames = torch.from_numpy(np.load(tmp_path / "work" / held.images)).float() / 255
    found = load_model(tmp_path / "work" / held.model).detector.detect(frames)
    expected = WholeImages(detector, size).detect(frames)
    most = expected.scores.shape[1]
    torch.testing.assert_close(found.scores[:, :most], expected.scores, atol=1e-3, rtol=0)
    for tried, message in (
        (cutting(tiles.changed(first_look=FirstLook())), "a first look decides"),
        (cutting(tiles, measure=record.config.measure.changed(batch=2)), r"measure\.batch is 2"),
        (cutting(tiles, compress=CompressConfig(quantisation=Int8())), "it is in int8"),
    ):
        last = tmp_path / record.folder / final_folder(tried.config)
        last.mkdir(parents=True, exist_ok=True)
        with pytest.raises(InputError, match=message):
            packing.add(tried)
