"""A study with detectors that were never trained, for the pages of its trials."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

import torch

from detectors.data.readers import DataSource
from detectors.detector import Detector
from launch.report.looks import look_closer
from launch.report.member import page_of, write_pages
from launch.report.study import StudyView
from launch.study.settings import StudySettings
from launch.trial.data import TrialData
from searchspace import Space, TrialConfig
from tests.launch.made_up import settings_for
from tests.launch.report.studies import record


@dataclass(frozen=True)
class Made:
    """A study whose detectors were never trained.

    Attributes:
        page: of trial 1.
    """

    folder: Path
    settings: StudySettings
    view: StudyView
    data: TrialData

    @property
    def page(self) -> str:
        text = (self.folder / page_of(self.view.records[1])).read_text(encoding="utf-8")
        return html.unescape(text)

    def detector(self, number: int) -> Detector:
        return Detector.load(self.folder / self.view.records[number].folder / "dense")

    def look(self, seconds: float = 100) -> dict[int, str]:
        unseen: dict[int, str] = {}
        look_closer(self.folder, self.settings, self.view, unseen, self.data.val, seconds)
        write_pages(self.folder, self.view, self.settings, unseen)
        return unseen


def made(folder: Path, space: Space, source: Path, data: TrialData) -> Made:
    found = DataSource.from_folder(source)
    settings = settings_for(space).model_copy(
        update={"train": found.train, "val": found.val, "fingerprint": data.fingerprint}
    )
    base = space.baseline()
    detector = base.detector.changed(num_classes=data.train.num_classes)
    records = []
    for number, points in enumerate(((0.1, 50.0), (0.2, 40.0))):
        config = TrialConfig(detector=detector, seed=number)
        origin = "sampler" if number else "baseline"
        one = record(number, *points, origin=origin, config=config)
        torch.manual_seed(number)
        Detector(detector, data.classes).save(folder / one.folder / "dense")
        records.append(one)
    return Made(folder, settings, StudyView.of(records), data)
