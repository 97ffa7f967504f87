"""A row of each table of the papers runs from its training to the comparison with the paper."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detectors.data.shapes import ShapesConfig, generate_shapes
from launch import reproduce
from searchspace import TrialConfig
from searchspace.overrides import overridden
from searchspace.papers.tables import TABLES

ROWS = {
    "fssd-2": "fssd300_abl_c3c7_concat_bn_b_from_ssd",
    "fssd-3": "fssd300s",
    "mfssd-1": "mfssd",
    "mfssd-2": "mfssd_bn",
    "mdssd-voc07": "ssd300_vgg16",
    "mdssd-coco": "mdssd300@coco",
    "mdssd-tt100k": "ssd512_vgg16",
    "thesis-6": "yolox_tiny_distilled",
    "thesis-gfl": "gfl_r50_baseline",
}
"""The row of a table that runs, if not the last."""


def small(config: TrialConfig) -> TrialConfig:
    """The same system, an eighth as wide, on small images and for an epoch."""
    multibox = config.detector.head.kind == "multibox"
    deconvolved = any(step.kind == "deconvolve" for step in config.detector.neck)
    return overridden(
        config.shortened(1e-4),
        [
            "train.batch_size=2", "train.frozen={}", "train.multi_scale={}",
            "detector.width=0.125", f"detector.input_size={300 if deconvolved else 64}",
            "detector.head.priors.kind=scaled" if multibox else "detector.head.strides=null",
            "measure.runtime=eager", "measure.runs=5", "measure.passes=1",
        ],
    )  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shapes"
    return generate_shapes(folder, ShapesConfig(train_images=4, val_images=4, size=96))


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_a_row_of_each_table_runs(name: str, images: Path, tmp_path: Path) -> None:
    row = ROWS.get(name, TABLES[name].systems[-1])
    records = reproduce(
        name, images, tmp_path / "out", small, (row,),
        driver="local", device="cpu", weights="none", objectives=("ap", "fps"),
    )  # fmt: skip
    assert {key: record.reason for key, record in records.items()} == dict.fromkeys(records)
    assert {record.state for record in records.values()} == {"finished"}
    compared = json.loads((tmp_path / "out" / "published.json").read_text())
    rows = {line["system"]: line for line in compared["rows"]}
    assert rows[row]["state"] == "finished"
    assert rows[row]["published"] == {
        f: TABLES[name].row(row).published(f) for f in TABLES[name].figures
    }
