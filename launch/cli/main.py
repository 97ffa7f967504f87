"""The command line: `sparrow search | trial | ladder | papers | describe | space | fps | ...`."""

from __future__ import annotations

import sys
import warnings

from launch.cli.lazy import lazy_group
from launch.cli.plugins import sparrow
from searchspace.errors import UnknownName

COMMANDS = {
    "search": (
        "launch.cli.search:search_command",
        "Search a space on a data set; without --data, on generated shapes.",
    ),
    "trial": (
        "launch.cli.trial:trial_command",
        "Run one trial without Ray: train, prune, fine-tune, evaluate, measure.",
    ),
    "ladder": (
        "launch.cli.ladder:ladder_command",
        "Train a detector once, and prune and fine-tune it at several ratios.",
    ),
    "reproduce": (
        "launch.cli.reproduce:reproduce_command",
        "Run the rows of a paper's table, and compare them with its figures.",
    ),
    "papers": (
        "launch.cli.papers:papers_command",
        "List the papers' systems with their published figures; with a name, show one.",
    ),
    "describe": (
        "launch.cli.describe:describe_command",
        "Show a detector layer by layer: shapes, parameters, MACs, priors.",
    ),
    "space": (
        "launch.cli.space:space_command",
        "Show a space as a tree, with its size; without a name, the sizes of all named spaces.",
    ),
    "fps": (
        "launch.cli.fps:fps_command",
        "Measure the frames per second of detectors in turns.",
    ),
    "export": (
        "launch.cli.export:export_command",
        "Write a detector as one model from images to detections, NMS inside.",
    ),
    "predict": (
        "launch.cli.predict:predict_command",
        "Write a detector's detections on images as COCO's or VOC's server takes them.",
    ),
    "report": (
        "launch.cli.report:report_command",
        "Rebuild the front and the report of a study from stored results.",
    ),
    "trials": (
        "launch.cli.trials:trials_command",
        "List all trials of a study, or write them with every figure and choice to a file.",
    ),
    "data": ("launch.cli.main:data", "Generate, check, report on, reduce and preview data sets."),
    "cache": ("launch.cli.main:cache", "Show or remove the decoded images on this machine."),
}
"""By name, the place of each command and its help."""

DATA = {
    "shapes": (
        "launch.cli.data:shapes_command",
        "Generate images of textured shapes as a COCO folder.",
    ),
    "check": (
        "launch.cli.data:check_command",
        "Check a data set as a search would; exits 0 when it can be used, 1 when not.",
    ),
    "report": (
        "launch.cli.data_report:report_command",
        "Write the health of a data set as a page: sizes, copies, leaks, fit of priors.",
    ),
    "convert": (
        "launch.cli.convert:convert_command",
        "Write a data set anew, images included, as COCO, YOLO or Pascal VOC.",
    ),
    "subset": (
        "launch.cli.data:subset_command",
        "Reduce an annotation file to some classes and a random subset of its images.",
    ),
    "preview": (
        "launch.cli.preview:preview_command",
        "Draw augmented training images with their boxes and class names.",
    ),
}
"""The same for the commands of `sparrow data`."""

CACHE = {
    "show": (
        "launch.cli.cache:show_command",
        "List the splits whose decoded images are kept, the one not used for longest first.",
    ),
    "clear": (
        "launch.cli.cache:clear_command",
        "Remove all decoded images; they are made again when they are needed.",
    ),
}
"""The same for the commands of `sparrow cache`."""

app = lazy_group(
    "Search detectors for small objects together with their compression.", COMMANDS, sparrow
)
data = lazy_group(COMMANDS["data"][1], DATA)
cache = lazy_group(COMMANDS["cache"][1], CACHE)


def main() -> None:
    """The command `sparrow`: an error prints a few lines and sets the exit status 1, or 2 for a
    name that stands for nothing.

    The lines say how to fix it, or that it is a bug and where its traceback is.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        app()
    except Exception as error:
        # Imported here because they load e.g. torch, which a help text does not need.
        from launch.cli.bugs import show_failure

        show_failure(error)
        sys.exit(2 if isinstance(error, UnknownName) else 1)


if __name__ == "__main__":
    main()
