"""What the papers' systems do with pixels, and with boxes after the network."""

from __future__ import annotations

import pytest

from searchspace import papers
from searchspace.augmentation import Augment
from searchspace.geometry import Canvas
from searchspace.papers import by_paper, on_coco

SSD_FAMILY = ("SSD", "FSSD", "MFSSD", "MDSSD")
STRIDES = "Stride elimination and dual path"


@pytest.mark.parametrize("paper", SSD_FAMILY)
def test_ssds_own_rates_candidates_and_weights(paper: str) -> None:
    for name in by_paper[paper]:
        for trial in (papers[name].trial, on_coco(name)):
            augment, post = trial.train.augment, trial.detector.head.postprocess
            assert (augment.photometric, augment.crop, augment.min_side) == (1, 1, 0)
            assert (augment.zoom_out, augment.max_zoom, augment.flip) == (0.5, 4, 0.5)
            assert (post.candidates, post.class_candidates, post.detections) == (None, 400, 200)
            assert (post.score_threshold, post.nms_iou) == (0.01, 0.45)
            assert trial.detector.head.initial == "xavier"
            assert trial.detector.resize == "stretch"


def test_the_stride_papers_code_drops_small_boxes_and_zooms_more_often() -> None:
    for system in by_paper[STRIDES].values():
        trial = system.trial
        assert trial.train.augment == Augment(photometric=1, zoom_out=0.6, crop=1)
        assert trial.train.augment.min_side == 0.01
        assert trial.detector.head.postprocess.class_candidates == 400
        assert trial.detector.head.postprocess.nms_iou == 0.6


def test_yolox_turns_its_mosaics_and_only_the_larger_one_has_mixup() -> None:
    found = {}
    for name in by_paper["YOLOX and GFL"]:
        trial = papers[name].trial
        augment, size = trial.train.augment, trial.detector.size
        assert trial.detector.resize == "letterbox"
        if not name.startswith("yolox"):
            assert (augment.mosaic, augment.mixup, size) == (0, 0, (800, 1280))
            # An image of COCO at its usual 4:3.
            assert trial.detector.canvas.content((480, 640)) == (800, 1067)
            continue
        turned = (augment.mosaic_rotation, augment.mosaic_shear, augment.mosaic_translation)
        assert (augment.mosaic, trial.train.plain_epochs, *turned) == (1, 15, 10, 2, 0.1)
        assert augment.min_side * size[0] == pytest.approx(1)
        found[size[0]] = (augment.mosaic_scale, augment.mixup)
    assert found == {416: ((0.5, 1.5), 0), 640: ((0.1, 2.0), 1)}


def test_a_letterbox_of_yolox() -> None:
    canvas = papers["yolox_s"].trial.detector.canvas
    assert canvas == Canvas((640, 640), "letterbox")
    assert canvas.content((480, 640)) == (480, 640)
    assert canvas.content((1280, 320)) == (640, 160)
