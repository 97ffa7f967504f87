"""The papers' systems, each a full trial configuration with its published figures.

Where a paper counts iterations, they are converted to epochs of its training data, 16,551 images of
VOC 2007 and 2012 or 118,287 of COCO, and the rate falls after the same shares of the training. So
other data are trained on for as many epochs, not for as many steps.

In all of them, gradients are clipped at norm 10, and weight decay spares biases and the scales of
batch norms, which most of the papers do not say.
"""

from __future__ import annotations

from searchspace.errors import UnknownName
from searchspace.heads import Multibox
from searchspace.names import closest
from searchspace.papers.anchor_free import ANCHOR_FREE
from searchspace.papers.fssd import FSSD, MFSSD
from searchspace.papers.mdssd import COCO_SIZES_MDSSD, MDSSD
from searchspace.papers.ssd import COCO_SIZES, SSD
from searchspace.papers.stride_elimination import STRIDE_ELIMINATION
from searchspace.papers.system import PaperSystem, Published
from searchspace.trial import TrialConfig

__all__ = [
    "ON_COCO",
    "PaperSystem",
    "Published",
    "by_paper",
    "nearest_system",
    "needed_system",
    "on_coco",
    "papers",
    "system_named",
]

by_paper: dict[str, dict[str, PaperSystem]] = {
    "SSD": SSD,
    "FSSD": FSSD,
    "MFSSD": MFSSD,
    "MDSSD": MDSSD,
    "Stride elimination and dual path": STRIDE_ELIMINATION,
    "YOLOX and GFL": ANCHOR_FREE,
}
papers: dict[str, PaperSystem] = {
    name: system for systems in by_paper.values() for name, system in systems.items()
}

ON_COCO = "@coco"
"""End of the name of a system in its form for COCO, such as `mfssd@coco`."""


def system_named(name: str) -> PaperSystem | None:
    """The system with a name, or with `NAME@coco` its form for COCO (`on_coco`); None without
    one."""
    stem = name.removesuffix(ON_COCO)
    if stem not in papers:
        return None
    return papers[stem] if stem == name else PaperSystem(on_coco(stem), papers[stem].published)


def needed_system(name: str) -> PaperSystem:
    """The same; raises `InputError`, which names the nearest, without one."""
    system = system_named(name)
    if system is None:
        raise UnknownName(f"{name}: the papers have no system of this name{nearest_system(name)}")
    return system


def nearest_system(name: str) -> str:
    """`; the nearest one is x` for a name that no system has."""
    stem, at, _ = name.partition("@")
    return closest(stem, papers) + (ON_COCO if at else "")


def on_coco(name: str) -> TrialConfig:
    """A system with the 80 classes of COCO and, if it was built for VOC, with the priors and the
    recipe for COCO.

    Raises:
        KeyError: no system has this name.
    """
    system = papers[name]
    trial = system.trial
    detector, head = trial.detector, trial.detector.head
    if name in SSD | FSSD | MFSSD | MDSSD and isinstance(head, Multibox):
        sizes = COCO_SIZES_MDSSD if name in MDSSD else COCO_SIZES
        side, _ = detector.size
        head = head.changed(priors=head.priors.changed(sizes=sizes[side]))
    detector = detector.changed(num_classes=80, head=head)
    return trial.changed(detector=detector, train=system.coco or trial.train)
