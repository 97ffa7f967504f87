"""Pascal VOC's format: an XML file for each image, and text files that list the images of a set."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from detectors.data.entries import AnnotationEntry, ImageEntry, as_float
from detectors.data.image_files import Stems, files_in, folded, in_parallel, is_image
from detectors.data.looking import LISTED, head, paired_folders
from detectors.data.reader import (
    Entries,
    Reader,
    category_entries,
    missing_parts,
    register_reader,
)
from detectors.data.source import DataSource, Split
from detectors.data.validation import Findings, Problem
from searchspace.reading import Unreadable, read_text, shown

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
YEAR = "VOC20"
"""How the folders of VOC's years begin."""

DEVKIT = "VOCdevkit"
SETS_FOLDER = ("ImageSets", "Main")
XML_FOLDERS = ("Annotations", "annotations", "xmls", "labels")
SETS = ("train", "val", "trainval", "test")
CORNERS = ("xmin", "ymin", "xmax", "ymax")
_PRESENCE = re.compile(r"\s+(-1|0|1)$")
"""What a list of one class, such as `dog_train.txt`, has after each image."""

_ROOT = re.compile(r"<(\w+:)?annotation[\s>/]")


@register_reader
class Voc(Reader):
    """Pascal VOC (Everingham et al., 2010) of one year or several joined, such as 07+12.

    Trained on is `trainval` of all years, validated on `test` of those whose test set is annotated
    (2007); where there is none, `train` and `val`. Corners are pixels, the first is number 1, and
    both belong to the box. Objects marked as difficult are trained on, as SSD's own code does, and
    not scored. `truncated`, `pose` and parts are not used.

    The classes of a year are VOC's twenty in its order, as long as no others occur; those of all
    other data are the names in the files, sorted.
    """

    name = "voc"
    layout = (
        "VOC2007/, VOC2012/ or both, each with JPEGImages/, Annotations/ and "
        "ImageSets/Main/{trainval,test}.txt or {train,val}.txt"
    )
    title = "Pascal VOC"
    annotations = "a folder of XML files, or a list in ImageSets/Main"

    def recognises(self, folder: Path) -> bool:
        return bool(_years(_devkit(folder)))

    def source(self, folder: Path) -> DataSource:
        root = _devkit(folder)
        years = _years(root)
        tested = [year for year in years if _list_of(year, "test").is_file() and _annotated(year)]
        names = ("trainval", "train") if tested else ("train", "trainval", *_only_list(years))
        there = (name for name in names if any(_list_of(year, name).is_file() for year in years))
        train = _split(root, years, next(there, names[0]))
        return DataSource(train, _split(root, tested or years, "test" if tested else "val"))

    def sources(self, place: Path) -> list[DataSource]:
        if place.is_file() or self.recognises(place):
            return list(super().sources(place))
        found = paired_folders(place, _holds_xml, XML_FOLDERS)
        return [DataSource.of(Split(*pair, self.name) for pair in found)] if found else []

    def takes(self, annotations: Path) -> bool:
        return annotations.parts[-3:-1] == SETS_FOLDER or _holds_xml(annotations)

    def missing(self, split: Split) -> list[Problem]:
        return missing_parts(split, self.layout, in_folder=split.annotations.is_dir())

    def entries(self, split: Split, findings: Findings) -> Entries:
        listed = _all_listed(split)
        _say_unlisted(split, listed, findings)
        files = [image.file for image in listed]
        documents = list(in_parallel(_parse, files))
        classes = _classes(split, _names(documents) | _names_elsewhere(split, set(files)))
        ids = {name: number for number, name in enumerate(classes, start=1)}
        stems = {folder: Stems.of_images(folder) for folder in {image.images for image in listed}}
        images: list[ImageEntry] = []
        annotations: list[AnnotationEntry] = []
        objects = 0
        for number, (image, document) in enumerate(zip(listed, documents, strict=True), start=1):
            if isinstance(document, Problem):
                findings.problems.append(document)
                continue
            file = image.images / stems[image.images].file_name(image.id)
            name = file.relative_to(split.images).as_posix()
            fields: dict[str, object] = {"id": number, "file_name": name, **document.size}
            images.append(ImageEntry.of(image.list, image.label, fields, findings))
            for place, thing in enumerate(document.objects):
                objects += 1
                label = f"object[{place}] {thing['name']}".strip()
                found = _annotation(image.file, label, thing, findings)
                if found is not None:
                    found |= {"id": objects, "image_id": number, "category_id": ids[thing["name"]]}
                    annotations.append(AnnotationEntry.of(image.file, label, found, findings))
        if not classes:
            what, fix = "no XML file has a class", "annotate objects"
            findings.reject(split.annotations, "objects", what, fix)
        categories = category_entries(split.annotations, classes, findings)
        return Entries(images, categories, annotations, given=(len(listed), objects))


@dataclass(frozen=True)
class _Listed:
    """An image by the list that names it, and its XML file."""

    images: Path
    list: Path
    label: str
    id: str
    file: Path


@dataclass(frozen=True)
class _Document:
    """What an XML file says: the sides that it states, and the texts of each object."""

    size: dict[str, str]
    objects: tuple[dict[str, str], ...]


def _devkit(folder: Path) -> Path:
    inner = folder / DEVKIT
    return inner if inner.is_dir() else folder


def _years(root: Path) -> list[Path]:
    """The folders of a devkit's years, or the folder itself if it is one."""
    if _list_of(root, "train").parent.is_dir():
        return [root]
    found = sorted(root.glob(f"{YEAR}[0-9][0-9]"))
    if not found and root.name == DEVKIT:
        found = sorted(root.glob("*/"))
    return [year for year in found if _list_of(year, "train").parent.is_dir()]


def _list_of(year: Path, name: str) -> Path:
    return year / "ImageSets" / "Main" / f"{name}.txt"


def _only_list(years: Sequence[Path]) -> list[str]:
    """The name of the one list that there is, such as CVAT's `default`."""
    names = {file.stem for year in years for file in files_in(_list_of(year, "").parent, ".txt")}
    return list(names) if len(names) == 1 else []


def _annotated(year: Path) -> bool:
    """Whether its test set is: that of 2012 was not published."""
    try:
        return any(image.file.is_file() for image in _listed(year, "test")[:1])
    except Unreadable:
        return True  # Reading it will say what is wrong.


def _split(root: Path, years: Sequence[Path], name: str) -> Split:
    there = [year for year in years if _list_of(year, name).is_file()] or list(years[:1]) or [root]
    images = root if len(there) > 1 else there[0] / "JPEGImages"
    return Split(images, _list_of(there[0], name), Voc.name)


def _is_joined(split: Split) -> bool:
    """Whether a split has images of several years: its image folder is the devkit then."""
    return split.images in split.annotations.parents


def _years_of(split: Split) -> list[Path]:
    if not _is_joined(split):
        return [split.annotations.parents[2]]
    found = _years(split.images)
    return [year for year in found if _list_of(year, split.annotations.stem).is_file()]


def _listed(year: Path, name: str) -> list[_Listed]:
    """The images of a set; a line may have a suffix. Raises `Unreadable`."""
    file, folder = _list_of(year, name), year / "Annotations"
    there = cache(lambda: Stems.of(folder, ".xml", below=True))

    def xml_of(id: str) -> Path:
        usual = folder / f"{id}.xml"
        if usual.is_file():
            return usual
        other = there().get(id) or there().alike(id)
        return folder / other if other else usual

    found = []
    for line, text in enumerate(read_text(file).splitlines(), start=1):
        id = text.strip()
        if not xml_of(id).is_file():
            id = _PRESENCE.sub("", id)
        if is_image(Path(id)) and not xml_of(id).is_file():
            id = id[: -len(Path(id).suffix)]
        if id:
            label = f"line {line} {id}"
            found.append(_Listed(year / "JPEGImages", file, label, id, xml_of(id)))
    return found


def _all_listed(split: Split) -> list[_Listed]:
    """The images of a split: of the lists of its years, or of the XML files of its folder."""
    if split.annotations.is_dir():
        xmls = Stems.of(split.annotations, ".xml", below=True)
        files = [(stem, split.annotations / name) for stem, name in xmls.items()]
        return [_Listed(split.images, file, "file", stem, file) for stem, file in files]
    return [image for y in _years_of(split) for image in _listed(y, split.annotations.stem)]


def _say_unlisted(split: Split, listed: Sequence[_Listed], findings: Findings) -> None:
    """Warn of images without an XML file, where a split is all of a folder."""
    if not split.annotations.is_dir():
        return
    named = {folded(Path(image.id).name) for image in listed}
    for stem, name in Stems.of_images(split.images).items():
        if is_image(Path(name)) and folded(Path(stem).name) not in named:
            what = f"there is no XML file for {shown(name)}, and it is left out"
            fix = "add one, without an <object> if nothing is on the image"
            findings.warn(split.annotations, stem, what, fix, "an image without an XML file")


def _holds_xml(folder: Path) -> bool:
    """Whether some of the XML files in a folder annotate an image each."""
    files = files_in(folder, ".xml")[:LISTED]
    return any(_ROOT.search(head(file, 2**12)) for file in files)


def _parse(file: Path) -> _Document | Problem:
    try:
        root = _tree(file)
    except FileNotFoundError:
        fix = "add it (without an <object> if there is none), or remove the image from its list"
        return Problem(str(file), "file", "does not exist", fix)
    except OSError as error:
        return Problem(str(file), "file", f"cannot be read ({error.strerror})", "give it anew")
    except Unreadable as error:
        return Problem.of(error)
    except (ET.ParseError, ValueError) as error:
        return Problem(str(file), "file", f"is not XML ({error})", "export the annotations again")
    if (tag := root.tag.rpartition("}")[2]) != "annotation":
        fix = "export as Pascal VOC, a file for each image"
        return Problem(str(file), "file", f"holds <{tag}>, not <annotation>", fix)
    sides = {side: _text(root, f"size/{side}") for side in ("width", "height")}
    objects = tuple(
        {
            key: _text(item, f"bndbox/{key}" if key in CORNERS else key)
            for key in ("name", "difficult", *CORNERS)
        }
        for item in root.findall("{*}object")
    )
    return _Document({side: text for side, text in sides.items() if text}, objects)


def _text(element: ET.Element, path: str) -> str:
    """The text at a path below an element, in whatever namespace; empty where there is none."""
    found = element.findtext("/".join(f"{{*}}{name}" for name in path.split("/")))
    return (found or "").strip()


def _tree(file: Path) -> ET.Element:
    """The content of an XML file, in the encoding that it declares or, where that is not so, in
    Unicode's."""
    raw = file.read_bytes()
    try:
        return ET.fromstring(raw)
    except (ET.ParseError, ValueError, LookupError):
        fix = "save it as UTF-8, or say in its first line which encoding it has"
        return ET.fromstring(read_text(file, fix))  # Of a text, the declaration does not count.


def _annotation(
    file: Path, label: str, thing: dict[str, str], findings: Findings
) -> dict[str, object] | None:
    """The box and the flag of an object; one that lacks a name or a corner is rejected."""
    corners = [_number(thing[key]) for key in CORNERS]
    flaws = list(_flaws(thing, corners))
    for what, fix in flaws:
        findings.reject(file, label, what, fix)
    if flaws:
        return None
    left, top, right, bottom = (corner for corner in corners if corner is not None)
    bbox = [left - 1, top - 1, right - left + 1, bottom - top + 1]
    return {"bbox": bbox, "difficult": thing["difficult"]}


def _flaws(thing: dict[str, str], corners: Sequence[float | None]) -> Iterator[tuple[str, str]]:
    """What an object lacks, and the fix."""
    if not thing["name"]:
        yield "name is missing or empty", "write the class between <name> and </name>"
    if not any(thing[key] for key in CORNERS):
        yield "has no bndbox", "write the corners; rotated boxes and polygons are not read"
        return
    for key, value in zip(CORNERS, corners, strict=True):
        if value is None:
            found = f"is {shown(thing[key])}" if thing[key] else "is missing or empty"
            yield f"bndbox {key} {found}", "write a number of pixels, the first is 1"


def _number(text: str) -> float | None:
    try:
        number = as_float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _classes(split: Split, names: set[str]) -> Sequence[str]:
    """VOC's own twenty in one of its years, or else the names that occur."""
    own = not split.annotations.is_dir() and _years_of(split)[0].name.startswith(YEAR)
    return VOC_CLASSES if own and names and names <= set(VOC_CLASSES) else sorted(names)


def _names_elsewhere(split: Split, own: set[Path]) -> set[str]:
    """The classes in the other lists of all years: training and validation data have to agree.

    What cannot be read there is reported when it is read for its own split.
    """
    if split.annotations.is_dir():
        return _names(in_parallel(_parse, sorted(_files_beside(split) - own)))
    year = _years_of(split)[0]
    years = _years(year.parent) if year.name.startswith(YEAR) else [year]
    lists = ((y, name) for y in years for name in SETS if _list_of(y, name).is_file())
    others = {image.file for y, name in lists for image in _listed(y, name)} - own
    return _names(in_parallel(_parse, sorted(others)))


def _files_beside(split: Split) -> set[Path]:
    """The XML files of the splits that lie beside one of a folder."""
    for root in reversed(split.annotations.parents[:2]):
        found = paired_folders(root, _holds_xml, XML_FOLDERS) or ()
        if split.annotations in [annotations for _, annotations in found]:
            return {file for _, annotations in found for file in files_in(annotations, ".xml")}
    return set()


def _names(documents: Iterable[_Document | Problem]) -> set[str]:
    found = (document for document in documents if isinstance(document, _Document))
    return {thing["name"] for document in found for thing in document.objects} - {""}
