"""The papers' systems, each a full trial configuration with its published figures.

If a paper lowers its learning rate in steps, the configuration has the same number of epochs with a
cosine schedule. Iterations are converted to epochs of the 16,551 images of VOC 2007 and 2012.
"""

from __future__ import annotations

from searchspace.heads import Multibox
from searchspace.papers.anchor_free import ANCHOR_FREE
from searchspace.papers.fssd import FSSD
from searchspace.papers.mdssd import COCO_SIZES_MDSSD, MDSSD
from searchspace.papers.ssd import COCO_SIZES, SSD
from searchspace.papers.stride_elimination import STRIDE_ELIMINATION
from searchspace.papers.system import PaperSystem, Published
from searchspace.trial import TrialConfig

__all__ = ["PaperSystem", "Published", "on_coco", "papers"]

papers: dict[str, PaperSystem] = {
    **SSD,
    **FSSD,
    **MDSSD,
    **STRIDE_ELIMINATION,
    **ANCHOR_FREE,
}


def on_coco(name: str) -> TrialConfig:
    """A system with the 80 classes of COCO and, if it was built for VOC, with priors for COCO.

    Raises:
        KeyError: no system has this name.
    """
    trial = papers[name].trial
    detector, head = trial.detector, trial.detector.head
    if name in SSD | FSSD | MDSSD and isinstance(head, Multibox):
        sizes = COCO_SIZES_MDSSD if name in MDSSD else COCO_SIZES
        side, _ = detector.size
        head = head.changed(priors=head.priors.changed(sizes=sizes[side]))
    return trial.changed(detector=detector.changed(num_classes=80, head=head))
