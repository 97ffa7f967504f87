"""What is odd about a data set, in sentences: it can be used, but its figures may mislead."""

from __future__ import annotations

from collections.abc import Iterator

from detectors.data.health.figures import LIMITS, Health, SplitFigures
from searchspace.reading import shown
from searchspace.words import on_axes

TOO_MANY_BELOW = {1: 0.01, 2: 0.1}
"""The share of the objects below so many pixels at the input from which it is said."""

BACKGROUND = 0.5
"""The share of images without objects from which it is said."""

NAMED = 5
"""Classes that are named at most."""


def oddities(health: Health) -> tuple[str, ...]:
    """What to know before training, each in a sentence with the figures and what to do."""
    splits = (("training", health.train), ("validation", health.val))
    return (
        *filter(None, (leaks_in_words(health),)),
        *_below(health),
        *(words for name, split in splits for words in _crowded(name, split, health.detections)),
        *(words for name, split in splits for words in split_oddities(name, split)),
        *_classes(health),
    )


def leaks_in_words(health: Health) -> str:
    """What to know of validation images that are in the training data; empty where none is."""
    if not health.seen:
        return ""
    every, exact = health.leaks
    how = "the same files"
    if exact < every:
        how = f"{exact} the same files, others look the same, perhaps mirrored"
    return (
        f"{health.seen} of {health.val.images} validation images are in the training data, too "
        f"({how}): figures on them are too good; --drop-leaks leaves {every} training "
        f"image{'s' if every > 1 else ''} out"
    )


def _below(health: Health) -> Iterator[str]:
    """Of the largest input: objects that are too small there are so at all others."""
    if not health.inputs:
        return
    at = health.inputs[-1]
    for limit, share in zip(LIMITS, at.below, strict=True):
        if share > TOO_MANY_BELOW.get(limit, 1):
            many = round(share * health.train.objects)
            yield (
                f"{many:,} of {health.train.objects:,} training objects are below {limit} px at "
                f"an input of {on_axes(at.input_size)} (median {at.side:.2g} px), where hardly a "
                "detector learns them: raise input_size, or look at tiles (detector.tiles)"
            )
            return


def _crowded(name: str, split: SplitFigures, detections: int) -> Iterator[str]:
    if split.crowded:
        yield (
            f"{split.crowded} of {split.images} {name} images have more objects (up to "
            f"{split.most:,}) than the {detections} detections that are kept of an image"
        )


def split_oddities(name: str, split: SplitFigures) -> Iterator[str]:
    """What is odd about one split, which is called `name`."""
    if split.images and split.empty > BACKGROUND * split.images:
        yield (
            f"{split.empty} of {split.images} {name} images have no object: right if they are "
            "background on purpose; otherwise compare image_id with the images' ids"
        )
    copies, exact = split.copies
    if copies:
        yield (
            f"repeated {name} images: {copies} of {split.images} ({exact} of them the same file as "
            "another)"
        )
    if split.doubled_boxes:
        many = f"{split.doubled_boxes:,} of {split.objects:,}"
        yield f"{name} objects annotated twice: {many}"
    if split.odd_areas:
        yield (
            f"{split.odd_areas:,} of {split.objects:,} {name} objects have an area that their box "
            "contradicts: AP_small rests on it"
        )


def _classes(health: Health) -> Iterator[str]:
    pairs = ((health.train, health.val, "validation"), (health.val, health.train, "training"))
    for here, there, name in pairs:
        lacking = [
            shown(key)
            for key, figures in here.classes.items()
            if figures.objects and (key not in there.classes or not there.classes[key].objects)
        ]
        if lacking:
            more = f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else ""
            what = "are not scored" if name == "validation" else "cannot be learned"
            yield f"no {name} object of {', '.join(lacking[:NAMED])}{more}: they {what}"
