"""`Detector`: one composition, described by data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from detectors.backbones import build_backbone
from detectors.canvas import fractions, place
from detectors.dry_run import Network, check_widths
from detectors.features import Outputs, Predictions, size_of
from detectors.heads import build_head
from detectors.losses import EVEN
from detectors.matching import Objects
from detectors.narrow import narrow
from detectors.necks import build_neck
from detectors.postprocess import Detections
from detectors.tiling import detect_images
from searchspace.detector import DetectorConfig
from searchspace.digests import sha256
from searchspace.errors import InputError
from searchspace.geometry import Canvas, InputSize, canvas_of
from searchspace.plugins import load_plugins
from searchspace.reading import read_model
from searchspace.runtimes import Precision
from searchspace.training import SmallBy, SmallObjects

FORMAT = 1
"""Of a detector's folder; raised when it is written in another way."""

FACTS, WEIGHTS = "detector.json", "weights.safetensors"
"""The files of a detector's folder."""

SMALL_AREA = 32.0**2
"""COCO's upper bound of a small object's area, in square pixels."""

PIXELS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "inception": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "dpn": (
        (0.48627450980392156, 0.4588235294117647, 0.40784313725490196),
        (0.23482446870963955, 0.23482446870963955, 0.23482446870963955),
    ),
    "caffe": ((0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)),
}
"""Mean and standard deviation of RGB in 0..1, by which images are normalised."""


class Detector(Network):
    """Backbone, neck and head, with losses and post-processing.

    Called like torchvision's detectors: in training mode, `model(images, targets)` returns a
    dictionary of losses (`small_objects` is optional); in eval mode, `model(images)` returns a list
    of dictionaries with `boxes` (xyxy, pixels of that image), `labels` (1..num_classes) and
    `scores`. Images are [3, H, W] in 0..1, of any size.

    Attributes:
        config: its configuration.
        classes: names of the classes, label 1 first; empty if none were given.
        new_parts: names of the parameters that the initial weights of a training left random.
    """

    new_parts: frozenset[str] = frozenset()

    def __init__(self, config: DetectorConfig, classes: Sequence[str] = ()) -> None:
        super().__init__()
        if classes and len(classes) != config.num_classes:
            raise InputError(f"num_classes is {config.num_classes}, but {len(classes)} are named")
        self.config = config
        self.classes = tuple(classes)
        self.backbone = build_backbone(config.backbone, config.width)
        self.neck = build_neck(config.neck, config.stages(), config.width)
        self.head = build_head(config)
        mean, std = PIXELS[config.pixels]
        self.register_buffer("mean", _per_channel(mean), persistent=False)
        self.register_buffer("std", _per_channel(std), persistent=False)

    @property
    def device(self) -> torch.device:
        """The device of its tensors."""
        return self.mean.device

    @property
    def canvas(self) -> Canvas:
        """How images are placed on the network's input."""
        return self.config.canvas

    @property
    def num_classes(self) -> int:
        return self.config.num_classes

    def outputs(self, batch: Tensor) -> Outputs:
        """Maps and raw predictions for images [N, 3, H, W] in 0..1, of the input's size."""
        maps = self.neck(self.backbone((batch - self.mean) / self.std)).maps
        return Outputs(maps, self.head(maps))

    def predict(self, batch: Tensor) -> Predictions:
        """Raw predictions over all priors for images [N, 3, H, W] in 0..1."""
        return self.outputs(batch).predictions

    def detect(self, batch: Tensor) -> Detections:
        """Detections for images [N, 3, H, W] in 0..1: network, decoding, NMS."""
        return self.head.detections(self.predict(batch))

    def losses(
        self,
        outputs: Outputs,
        objects: Objects,
        small_objects: SmallObjects = EVEN,
        plain: bool = False,
    ) -> dict[str, Tensor]:
        """Named loss terms of a batch [N, 3, H, W] in 0..1; `plain` as in the head's."""
        return self.head.losses(outputs.predictions, objects, small_objects, plain)

    def forward(
        self,
        images: Sequence[Tensor] | Tensor,
        targets: Sequence[dict[str, Tensor]] | None = None,
        small_objects: SmallObjects = EVEN,
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        canvas = self.config.canvas
        if not self.training and canvas.tiles:
            return detect_images(self.detect, [*images], canvas)
        batch = self.batched(images)
        if self.training:
            if targets is None:
                raise ValueError("targets are missing: a detector in training mode needs them")
            sides = [size_of(image) for image in images]
            objects = padded_objects(targets, sides, canvas, small_objects.by)
            return self.losses(self.outputs(batch), objects.to(batch.device), small_objects)
        detections = self.detect(batch)
        return [
            detections.of_image(index, image.shape[-1], image.shape[-2], canvas)
            for index, image in enumerate(images)
        ]

    def batched(self, images: Sequence[Tensor] | Tensor) -> Tensor:
        """Images of any size, [3, H, W] in 0..1, as one batch of the input's size."""
        if isinstance(images, Tensor) and size_of(images) == self.config.size:
            return images
        return torch.stack([place(image, self.config.canvas) for image in images])

    def save(self, folder: Path) -> Path:
        """Write `detector.json` and `weights.safetensors` into `folder`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: t.detach().cpu().contiguous() for name, t in self.state_dict().items()}
        save_file(tensors, folder / WEIGHTS)
        return write_facts(self, folder, weights=sha256(folder / WEIGHTS))

    @classmethod
    def load(cls, folder: Path) -> Detector:
        """Read a detector that `save` wrote, pruned or not.

        Raises:
            ValueError: a file is missing or damaged, or the two do not fit each other.
        """
        folder = Path(folder)
        facts = _read(folder)
        if facts.form is not None:
            raise InputError(
                f"{folder}: a detector in the form {' '.join(facts.form)}, which can only be run "
                "(sparrow predict, or detectors.runtimes.load_detector); give the float32 detector "
                "that it was made from"
            )
        detector = cls(facts.detector, facts.classes)
        weights = folder / WEIGHTS
        try:
            tensors = load_file(weights)
        except (OSError, SafetensorError) as error:
            what = f"not readable as safetensors ({error})"
            raise InputError(f"{weights}: {what}; copy or save the detector again") from None
        try:
            detector.load_tensors(tensors)
        except (RuntimeError, ValueError) as error:
            what = " ".join(f"not the weights of detector.json ({error})".split())
            raise InputError(f"{weights}: {what}; copy or save the detector again") from None
        # Last, as it can say least.
        if facts.weights not in (None, sha256(weights)):
            raise InputError(
                f"{weights}: not what was saved with detector.json: some bytes of it have "
                "changed; copy or save the detector again"
            )
        return detector

    def load_tensors(self, tensors: Mapping[str, Tensor], share: bool = False) -> Detector:
        """Take widths and weights from `tensors`, and set eval mode.

        Args:
            tensors: by name; each as in the built detector ([out, in, h, w] for a convolution), or
                with fewer channels.
            share: use the tensors themselves, not copies.

        Raises:
            ValueError: a tensor is missing, unknown or wider than its layer, or consecutive layers
                do not fit.
        """
        narrow(self, {name: tuple(t.shape) for name, t in tensors.items()})
        check_widths(self)
        self.load_state_dict(tensors, assign=share)
        return self.eval()


def padded_objects(
    targets: Sequence[dict[str, Tensor]],
    sides: Sequence[tuple[int, int]],
    input_size: InputSize | Canvas,
    by: SmallBy = "annotation",
) -> Objects:
    """torchvision's targets as one padded batch.

    Args:
        targets: `boxes` [G, 4] (xyxy, pixels), `labels` [G]; optionally `area` [G], the original
            annotation's in square pixels, if it differs from the box's.
        sides: (height, width) of each image in the boxes' pixels.
        input_size: the network's input, and how the images are placed on it; a size alone means
            that they are stretched.
        by: the area that decides whether an object is small, see `SmallObjects`.
    """
    canvas = canvas_of(input_size)
    boxes = _padded([t["boxes"].as_subclass(Tensor).reshape(-1, 4).float() for t in targets])
    labels = _padded([target["labels"] for target in targets])
    on_input = fractions(boxes, sides, canvas)
    if by == "input":
        areas = _areas(on_input) * math.prod(canvas.size)
    else:
        own = zip(targets, _areas(boxes), strict=True)
        areas = _padded([t["area"] if "area" in t else area[: len(t["labels"])] for t, area in own])
    valid = labels > 0
    counts = tuple(len(target["labels"]) for target in targets)
    return Objects(on_input, labels, (areas < SMALL_AREA) & valid, valid, counts)


def _areas(boxes: Tensor) -> Tensor:
    """[..., 4], xyxy, to [...]."""
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def _padded(rows: list[Tensor]) -> Tensor:
    """Rows of a batch padded with zeros, to at least one row, so that no batch has zero objects."""
    padded = pad_sequence(rows, batch_first=True)
    return padded if padded.shape[1] else padded.new_zeros(len(rows), 1, *padded.shape[2:])


def _per_channel(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values)[:, None, None]


def write_facts(
    detector: Detector,
    folder: Path,
    form: tuple[str, Precision] | None = None,
    weights: str | None = None,
) -> Path:
    """Write what a saved detector is, beside its weights, into a folder; returns the folder.

    Args:
        form: the runtime and its numbers, where a model of that runtime holds the weights.
        weights: SHA-256 of the file of weights, if there is one.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    facts = _Facts(detector=detector.config, classes=detector.classes, form=form, weights=weights)
    (folder / FACTS).write_text(facts.model_dump_json(indent=1), encoding="utf-8")
    return folder


def read_facts(
    folder: Path,
) -> tuple[DetectorConfig, tuple[str, ...], tuple[str, Precision] | None]:
    """Configuration, classes and form of the detector saved in a folder.

    Raises:
        ValueError: there is none, it is damaged, or another version wrote it.
    """
    facts = _read(folder)
    return facts.detector, facts.classes, facts.form


def _read(folder: Path) -> _Facts:
    load_plugins()
    path = Path(folder) / FACTS
    if not path.exists() and (below := sorted(Path(folder).glob(f"*/{FACTS}"))):
        raise InputError(
            f"{folder}: this is a folder of detectors, such as a trial's; give its detector "
            f"{' or '.join(str(file.parent) for file in below)}"
        )
    facts = read_model(path, _Facts, "give the folder of a saved detector")
    config, classes = facts.detector, facts.classes
    if facts.format != FORMAT:
        raise InputError(
            f"{path}: a detector of format {facts.format}, and this version of Sparrow reads "
            f"format {FORMAT}; load it with the version that saved it"
        )
    if classes and len(classes) != config.num_classes:
        raise InputError(
            f"{path}: num_classes is {config.num_classes}, but there are {len(classes)} classes; "
            "save the detector again"
        )
    return facts


class _Facts(BaseModel):
    """The content of `detector.json`.

    Attributes:
        weights: SHA-256 of `weights.safetensors`; None without that file, and of earlier versions.
    """

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    detector: DetectorConfig
    classes: tuple[str, ...]
    form: tuple[str, Precision] | None = None
    weights: str | None = None
