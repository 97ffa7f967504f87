"""Calibration images of int8 from a folder, and whether they are suitable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from detectors.data.dataset import spread
from detectors.data.image_files import image_files
from detectors.data.images import inspect_image, load_image
from detectors.data.transforms import evaluation_transform
from detectors.runtimes.agreement import count
from searchspace.errors import InputError
from searchspace.geometry import Canvas, InputSize

MOST = 128
"""The most images that are read from a folder."""

FEW = 8
"""Fewer images than this show little of the values that the network will see."""

FLAT = 0.02
"""Standard deviation of each channel, in 0..1, below which an image counts as uniform: five
levels."""

COLOURS = 32
"""The most colours of a mask or a drawing; a photograph has thousands."""

LOOKED_AT = 2**16
"""Approximate number of pixels whose colours are counted."""


@dataclass(frozen=True)
class Pictures:
    """Images of a folder and its subfolders, spread evenly over the sorted names.

    Attributes:
        folder: the folder.
        files: the files that are used.
        images: their images, [M, 3, H, W] in 0..1.
        left_out: by reason, the files that are not used.
    """

    folder: Path
    files: tuple[Path, ...]
    images: Tensor
    left_out: dict[str, tuple[Path, ...]]

    @classmethod
    def read(
        cls, folder: Path, size: InputSize | Canvas, most: int = MOST, fit: bool = True
    ) -> Pictures:
        """Read up to `most` of them.

        Args:
            fit: leave out uniform images and masks.

        Raises:
            ValueError: there is no image, none is suitable, or a file is not an image.
        """
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        files = image_files(folder)
        if not files:
            raise InputError(f"{folder}: no images to calibrate int8 on")
        chosen, place = spread(files, most), evaluation_transform(size)
        used: dict[Path, Tensor] = {}
        left_out: dict[str, tuple[Path, ...]] = {}
        for file in chosen:
            image = load_image(file, *inspect_image(file).displayed)
            if fit and (reason := unfit(image)):
                left_out[reason] = (*left_out.get(reason, ()), file)
            else:
                used[file] = place(image) / 255
        if not used:
            reasons = "; ".join(f"{len(out)} {reason}" for reason, out in left_out.items())
            raise InputError(
                f"{folder}: none of {count(len(chosen))} is suitable: {reasons}. Give images like "
                "those that the detector was trained on, or use these anyway with --force"
            )
        return cls(folder, tuple(used), torch.stack(list(used.values())), left_out)

    def __str__(self) -> str:
        return f"{count(len(self.files))} of {self._places(self.files)}"

    def warnings(self) -> list[str]:
        """Warnings about images left out, and about too few."""
        lines = [
            f"{count(len(files))} of {self._places(files)} left out: {reason}"
            for reason, files in self.left_out.items()
        ]
        if len(self.files) < FEW:
            lines.append(
                f"only {count(len(self.files))} of {self.folder}; {FEW} or more are better"
            )
        return lines

    def _places(self, files: Sequence[Path]) -> str:
        """The folder, with the number of files in each subfolder if there are any."""
        places = Counter(file.parent.relative_to(self.folder) for file in files)
        if set(places) == {Path()}:
            return str(self.folder)
        parts = [
            f"{number} in {'the folder itself' if place == Path() else f'{place}/'}"
            for place, number in sorted(places.items())
        ]
        return f"{self.folder} ({', '.join(parts)})"


def unfit(image: Tensor) -> str | None:
    """Why an image, uint8 [3, H, W], is unsuitable for calibration; None if it is suitable."""
    if float(image.flatten(1).float().std(1, correction=0).max()) / 255 < FLAT:
        return "of a single colour"
    pixels = image.flatten(1)[:, :: max(1, image[0].numel() // LOOKED_AT)].long()
    if len(torch.unique(pixels[0] << 16 | pixels[1] << 8 | pixels[2])) <= COLOURS:
        return f"a mask or drawing ({COLOURS} colours or fewer)"
    return None
