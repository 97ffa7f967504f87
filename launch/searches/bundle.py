"""`write_bundle`: detectors of a study in one file, to be measured where Sparrow cannot run."""

from __future__ import annotations

import hashlib
import io
import secrets
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from detectors.data.dataset import Dataset
from detectors.data.readers import DataSource
from detectors.data.reading import read_split
from detectors.detector import Detector, read_facts
from detectors.files import write_atomically, written
from detectors.runtimes.agreement import Check, agreement, count
from detectors.runtimes.contract import exported_runtime
from detectors.runtimes.export import exported
from detectors.runtimes.onnx_graph import DETECTIONS, INPUT, OPSET
from detectors.runtimes.program import Wanted
from detectors.runtimes.targets import ready_target
from detectors.runtimes.whole_image import WholeImages, check_cut_inside
from detectors.timing import turns
from detectors.timing.reference import reference_call
from detectors.timing.returned import Bundle, Device, Held, HeldMember
from launch.decisions.halving import best_first
from launch.files import BUNDLES, final_folder
from launch.records import TrialRecord
from launch.report.study import StudyView
from launch.searches.inputs import source_now
from launch.study.opening import read_records
from launch.study.settings import StudySettings, read_settings
from launch.trial.copies import bring
from launch.trial.data import median_size
from launch.trial.meter import FRAMES, first_frames
from searchspace.compression import Int8
from searchspace.digests import sha256
from searchspace.errors import InputError
from searchspace.geometry import Canvas

MOST = 24
"""Detectors in a bundle."""

BOTH: tuple[Device, ...] = ("onnxruntime", "openvino")
"""What can run an ONNX file on a device."""

IMAGE_BYTES = 1 << 26
"""Bytes of the images of a size in a bundle, if more than one is there."""

MANIFEST = "bundle.json"
SCRIPTS = {"__main__.py": "on_device.py", "turns.py": "turns.py"}
"""Files that make a bundle run by itself, and what they are copies of."""


@dataclass(frozen=True)
class Packing:
    """What the members of a bundle are written with.

    Attributes:
        run: folder of the study.
        work: folder of the bundle's files.
        val: validation images, the first of which detectors are compared and timed on.
    """

    run: Path
    work: Path
    val: Dataset

    def add(self, record: TrialRecord) -> HeldMember:
        """Write a trial's final detector; raises `InputError` where that cannot be had."""
        folder = bring(self.run / record.folder / final_folder(record.config))
        if not folder.is_dir():
            raise InputError(f"{folder} is gone")
        name, batch = f"{record.number:04d}", record.config.measure.batch
        canvas, size = record.config.detector.canvas, None
        quantised = isinstance(record.config.compress.quantisation, Int8)
        if canvas.tiles is not None:
            # The file cuts whole images itself: one is an input.
            size = record.config.measure.image_size or median_size(self.val)
            _check_tiles(canvas, quantised, batch)
            canvas = Canvas(size)
        frames = first_frames(self.val, canvas, _frames_on(canvas))
        if quantised:
            model, runtimes = self._add_int8(folder, name, batch)
        else:
            wanted = Wanted(batch=batch, image_size=size)
            model, runtimes = self._add_float(folder, name, wanted, frames.float() / 255), BOTH
        files = sorted(self.work.glob(f"{name}.*"))
        return HeldMember(
            number=record.number,
            precision="int8" if quantised else "float32",
            runtimes=runtimes,
            model=model.name,
            files={file.name: sha256(file) for file in files},
            images=self._images(canvas, frames),
            batch=batch,
        )

    def reference(self) -> Held:
        """Write the reference network."""
        network, image = reference_call(torch.device("cpu"))
        buffer, model = io.BytesIO(), self.work / "reference.onnx"
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (image,),
                buffer,  # pyrefly: ignore[bad-argument-type] (see `onnx_graph`)
                input_names=[INPUT],
                opset_version=OPSET,
                dynamo=False,
            )
        model.write_bytes(buffer.getvalue())
        np.save(self.work / "reference.npy", (image * 255).to(torch.uint8).numpy())
        return Held(model=model.name, files={model.name: sha256(model)}, images="reference.npy")

    def _add_float(self, folder: Path, name: str, wanted: Wanted, images: Tensor) -> Path:
        detector, size = Detector.load(folder).eval(), wanted.image_size
        made = exported(detector, "onnx", wanted)
        original = detector if size is None else WholeImages(detector, size)
        check = Check(on=count(len(images)), agreement=agreement(original, made, images))
        if poor := check.objections("float32"):
            raise InputError("; ".join(poor))
        return made.save(self.work / name)

    def _add_int8(self, folder: Path, name: str, batch: int) -> tuple[Path, tuple[Device, ...]]:
        """The model that the search scored, as it is."""
        _, _, form = read_facts(folder)
        runtime = next((r for r in BOTH if form and form[0] == r), None)
        if runtime is None:
            raise InputError(f"{folder}: its int8 is not of {' or '.join(BOTH)}")
        graph = exported_runtime(runtime).graph_in(folder).only(DETECTIONS, batch)
        model = self.work / f"{name}{graph.suffix}"
        graph.save(model)
        return model, (runtime,)

    def _images(self, canvas: Canvas, frames: Tensor) -> str:
        """The name of the file of images on a canvas."""
        height, width = canvas.size
        name = f"images-{height}x{width}-{canvas.resize}.npy"
        if not (self.work / name).exists():
            np.save(self.work / name, frames.numpy())
        return name


def _check_tiles(canvas: Canvas, quantised: bool, batch: int) -> None:
    """Raise `InputError` if a detector with tiles cannot be a file that cuts images."""
    check_cut_inside(canvas)
    if quantised or batch > 1:
        what = "it is in int8" if quantised else f"its measure.batch is {batch}"
        raise InputError(
            f"{what}, and a file that cuts images into tiles is in float and takes one image at a "
            "time: measure it where Sparrow runs (sparrow fps)"
        )


def _frames_on(canvas: Canvas) -> int:
    """How many images a bundle holds of those on a canvas."""
    height, width = canvas.size
    return min(FRAMES, max(1, IMAGE_BYTES // (3 * height * width)))


def write_bundle(
    run: Path,
    out: Path,
    most: int = MOST,
    data: DataSource | Path | str | None = None,
    say: Callable[[str], None] = lambda words: None,
) -> Bundle:
    """Write detectors of a study into one file, which measures them: `python FILE`.

    Beside the front, which is over the speeds of the search's own device, it holds what comes next
    in both objectives, as another device may prefer it.

    Args:
        most: detectors in it, besides the baseline.
        data: where the study's data lie now, if they were moved; only validation images are read.
        say: called with each trial that is left out, and why.

    Raises:
        InputError: no detector of the study can be had, or its images are gone.
        RuntimeUnavailable: ONNX is not installed.
    """
    settings = read_settings(run)
    chosen = _chosen(settings, read_records(run), most)
    ready_target("onnx", Wanted())
    val = read_split(source_now(settings, data).val, **settings.data.reading)
    members = []
    with tempfile.TemporaryDirectory() as work:
        packing = Packing(run, Path(work), val)
        for record in chosen:
            try:
                members.append(packing.add(record))
            except InputError as error:
                say(f"warning: trial {record.number} is left out: {error}")
        if not members:
            raise InputError(f"{run}: no detector of it can be exported")
        measure = chosen[0].config.measure
        bundle = Bundle(
            key=secrets.token_hex(32),
            study=run.resolve().name,
            runs=measure.runs,
            passes=measure.passes,
            reference=packing.reference(),
            members=tuple(members),
        )
        text = bundle.model_dump_json(indent=1)
        _pack(packing.work, text, out)
    # A device's answer is known by it.
    write_atomically(run / BUNDLES / f"{hashlib.sha256(text.encode()).hexdigest()}.json", text)
    return bundle


def _chosen(
    settings: StudySettings, records: Sequence[TrialRecord], most: int
) -> list[TrialRecord]:
    """The trials in a bundle: the baseline, and the best by rank in both objectives."""
    view = StudyView.of(records, settings.goal.objectives)
    trained = [record for record in view.scored if not record.finished.is_reported]
    if not trained:
        raise InputError(f"{settings.title}: no trial has finished with a detector of Sparrow's")
    order = best_first([view.heights(record) for record in trained])
    best = [trained[place] for place in order[:most]]
    baseline = [record for record in trained if record.origin == "baseline"]
    return list({record.number: record for record in (*baseline, *best)}.values())


def _pack(work: Path, manifest: str, out: Path) -> None:
    with written(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, manifest)
        for name, source in _sources(work):
            archive.write(source, name)


def _sources(work: Path) -> Iterator[tuple[str, Path]]:
    """The other files of a bundle."""
    scripts = Path(turns.__file__).parent
    yield from ((name, scripts / source) for name, source in SCRIPTS.items())
    yield from ((file.name, file) for file in sorted(work.iterdir()))
