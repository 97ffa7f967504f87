"""The papers' tables of results: which systems their rows are, and which figures they give.

A table is called `PAPER-NUMBER` where the number is known, and otherwise by what it is about. Rows
of detectors that are not among the papers' systems, such as RFB-Net's, are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from searchspace.errors import UnknownName
from searchspace.names import closest
from searchspace.papers import ON_COCO, needed_system, papers
from searchspace.papers.system import PaperSystem

COCO = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
RECALL = ("ar_small", "ar_medium", "ar_large")
VOC_DATA = "VOC 2007 and 2012 trainval; VOC 2007 test"
COCO_DATA = "COCO 2017"
PERSON_CAR = "person and car of COCO 2017, 25,000 training images"


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        system: its name in `papers`, or `NAME@coco`.
        other: figures of this table that differ from those published for the system elsewhere.
    """

    system: str
    other: Mapping[str, float] = field(default_factory=dict)

    def published(self, figure: str) -> float | None:
        """A figure as this row gives it; None if it does not."""
        name = self.system.removesuffix(ON_COCO)
        return self.other.get(figure, getattr(papers[name].published, figure))


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper.

    Attributes:
        source: paper and number, and what is not known about its rows.
        data: the data that the paper trained and scored on.
        figures: the names of its columns.
        rows: in the paper's order.
    """

    title: str
    source: str
    data: str
    figures: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def systems(self) -> tuple[str, ...]:
        """The names of its rows' systems."""
        return tuple(row.system for row in self.rows)

    def row(self, system: str) -> Row | None:
        """The row of a system; None if it has none."""
        return next((row for row in self.rows if row.system == system), None)


def _rows(*systems: str, **other: Mapping[str, float]) -> tuple[Row, ...]:
    return tuple(Row(name, other.get(name.removesuffix(ON_COCO), {})) for name in systems)


_MOBILENET = (
    "ssdmnetv1", "ssdmnetv1_size512", "ssdmnetv1_early", "ssdmnetv1_anchor10", "ssdmnetv1_s1l6",
    "ssdmnetv1_s1l4", "ssdmnetv1_s1l0", "ssdmnetv1_s1l4_fmap1", "ssdmnetv1_s1l0_fmap1",
    "ssdmnetv1_s1l0_dualpath19_c", "ssdmnetv1_s1l0_dualpath19_10_c",
    "ssdmnetv1_s1l0_dualpath19_10_s",
)  # fmt: skip

TABLES: dict[str, PaperTable] = {
    "fssd-1": PaperTable(
        "FSSD: forms of the pyramid",
        "FSSD paper, Table 1",
        VOC_DATA,
        ("voc_map",),
        _rows(
            "fssd300_abl_c4c7_concat_bn_a",
            "fssd300_abl_c4c7_concat_bn_b",
            "fssd300_abl_c4c7_concat_bn_c",
        ),
    ),
    "fssd-2": PaperTable(
        "FSSD: which maps are fused, and how",
        "FSSD paper, Table 2; which of its first two rows is which is not known here",
        VOC_DATA,
        ("voc_map",),
        _rows(
            "fssd300_abl_c3c7_concat_bn_b_from_ssd",
            "fssd300_abl_c3c7_concat_bn_b",
            "fssd300_abl_c4c7_concat_bn_b",
            "fssd300_abl_c4fc7_concat_bn_b",
            "fssd300_abl_c3c7_concat_bn_b_scratch",
            "fssd300_abl_c3c7_concat_nobn_b",
            "fssd300_abl_c3c7_sum_bn_b",
        ),
    ),
    "fssd-3": PaperTable(
        "SSD and FSSD on VOC 2007 test",
        "FSSD paper, Table 3",
        VOC_DATA,
        ("voc_map", "fps"),
        _rows(
            "ssd300_vgg16", "ssd512_vgg16", "fssd300", "fssd300s", "fssd300_from_coco", "fssd512",
            "fssd512_from_coco",
        ),
    ),
    "fssd-coco": PaperTable(
        "SSD and FSSD on COCO test-dev",
        "FSSD paper; the table's number is not known here",
        COCO_DATA,
        (*COCO, *RECALL),
        _rows("ssd300_vgg16@coco", "ssd512_vgg16@coco", "fssd300@coco", "fssd512@coco"),
    ),
    "mfssd-1": PaperTable(
        "Parameters of FSSD and MFSSD",
        "MFSSD paper, Table I",
        VOC_DATA,
        ("params",),
        _rows("fssd300_11620", "mfssd", "mfssd_bn", "mfssd_pruned"),
    ),
    "mfssd-2": PaperTable(
        "SSD, FSSD and MFSSD on VOC 2007 test",
        "MFSSD paper, Table II",
        VOC_DATA,
        ("voc_map",),
        _rows("ssd300_vgg16_11620", "fssd300_11620", "mfssd", "mfssd_bn", "mfssd_pruned"),
    ),
    "mfssd-3": PaperTable(
        "MDSSD and MFSSD on COCO test-dev",
        "MFSSD paper, Table III",
        COCO_DATA,
        (*COCO, *RECALL),
        _rows("mdssd300@coco", "mfssd@coco"),
    ),
    "mfssd-4": PaperTable(
        "Speeds",
        "MFSSD paper, Table IV",
        VOC_DATA,
        ("fps",),
        _rows(
            "ssd300_vgg16", "ssd300_vgg16_11620", "fssd300", "fssd300_11620", "mdssd300", "mfssd",
            "mfssd_pruned",
            ssd300_vgg16={"fps": 72},
        ),
    ),
    "mdssd-voc07": PaperTable(
        "SSD and MDSSD on VOC 2007 test",
        "MDSSD letter; the table's number is not known here",
        VOC_DATA,
        ("voc_map",),
        _rows(
            "ssd300_vgg16", "mdssd300", "mdssd320_r101", "mdssd512_r101",
            ssd300_vgg16={"voc_map": 0.775},
        ),
    ),
    "mdssd-coco": PaperTable(
        "Small objects: SSD and MDSSD on COCO test-dev",
        "MDSSD letter; the table's number is not known here",
        COCO_DATA,
        ("ap_small",),
        _rows("ssd300_vgg16@coco", "ssd512_vgg16@coco", "mdssd300@coco", "mdssd512@coco"),
    ),
    "mdssd-tt100k": PaperTable(
        "SSD and MDSSD on Tsinghua-Tencent 100K",
        "MDSSD letter; the table's number is not known here",
        "Tsinghua-Tencent 100K",
        ("tt100k_map",),
        _rows("ssd512_vgg16", "mdssd512", ssd512_vgg16={"tt100k_map": 0.687}),
    ),
    "stride-2": PaperTable(
        "SSD-MobileNetV1 with eliminated strides and dual paths",
        "stride elimination and dual path paper, Tables 1 and 2; which row is in which of the two "
        "is not known here",
        COCO_DATA,
        ("ap", "ap_small", "ap_medium", "ap_large", *RECALL, "fps"),
        _rows(*_MOBILENET),
    ),
    "stride-vgg": PaperTable(
        "SSD-VGG16 with an eliminated stride and a dual path",
        "stride elimination and dual path paper; the table's number is not known here",
        COCO_DATA,
        ("ap", "ap_small", "ap_medium", "ap_large", *RECALL, "fps"),
        _rows("ssd_vgg16_003", "ssd_vgg16_s1l2", "ssd_vgg16_s1l2_dualpath"),
    ),
    "thesis-6": PaperTable(
        "YOLOX with copy-paste, weighted loss and distillation",
        "Manaiev 2022, Tables 4, 6 and 8; which row is in which of the three is not known here",
        PERSON_CAR,
        ("ap", "ap_small", "ap_medium", "ap_large", "ar", *RECALL),
        _rows(
            "yolox_tiny_baseline", "yolox_tiny_copy_paste", "yolox_tiny_weighted",
            "yolox_s_teacher", "yolox_tiny_distilled",
        ),
    ),
    "thesis-gfl": PaperTable(
        "GFL with copy-paste, weighted loss and distillation",
        "Manaiev 2022, Table 9 and others, whose numbers are not known here",
        PERSON_CAR,
        ("ap", "ap_small", "ap_medium", "ap_large", "ar", *RECALL),
        _rows(
            "gfl_r50_baseline", "gfl_r50_copy_paste", "gfl_r50_weighted", "gfl_r101_teacher",
            "gfl_r101_teacher_copy_paste", "gfl_r50_distil_1", "gfl_r50_distil_2",
            "gfl_r50_distil_3",
        ),
    ),
}  # fmt: skip
"""By name."""


def table_named(name: str) -> PaperTable:
    """The table with a name; raises `InputError`, which names the nearest, without one."""
    if name not in TABLES:
        raise UnknownName(f"{name}: there is no such table of a paper{closest(name, TABLES)}")
    return TABLES[name]


def tables_of(system: str) -> tuple[str, ...]:
    """The names of the tables that a system is a row of, in either form."""
    forms = (system, f"{system}{ON_COCO}")
    return tuple(name for name, table in TABLES.items() if set(forms) & set(table.systems))


def on_same_data(name: str, other: str) -> bool:
    """Whether two systems are trained on the same data: both in their form for COCO, or neither."""
    return name.endswith(ON_COCO) == other.endswith(ON_COCO)


def needed_elsewhere(systems: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """By the systems that need any, those to be trained on other data before."""
    found = {
        name: tuple(other for other in needed_system(name).needs if not on_same_data(name, other))
        for name in systems
    }
    return {name: others for name, others in found.items() if others}


def with_needed(systems: Iterable[str]) -> dict[str, PaperSystem]:
    """These systems by name, each after those that it needs: its teacher, or where it starts.

    Raises:
        InputError: there is no such system.
    """
    found: dict[str, PaperSystem] = {}

    def add(name: str) -> None:
        system = needed_system(name)
        for other in system.needs:
            add(other)
        found.setdefault(name, system)

    for name in systems:
        add(name)
    return found


def with_needed_there(systems: Sequence[str]) -> dict[str, PaperSystem]:
    """The same, without those that are trained on other data."""
    return {
        name: system
        for name, system in with_needed(systems).items()
        if any(on_same_data(name, own) for own in systems)
    }
