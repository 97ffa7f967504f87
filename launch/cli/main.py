"""The command line: `sparrow search | trial | ladder | papers | describe | space | fps | ...`."""

from __future__ import annotations

import sys
import warnings

from launch.cli.lazy import Entry, lazy_group
from launch.cli.plugins import sparrow
from searchspace.errors import UnknownName

COMMANDS = {
    "Search": {
        "search": Entry(
            "launch.cli.search:search_command",
            "Search a space on a data set; without --data, on generated shapes.",
            (
                "sparrow search --data FOLDER --minutes 60",
                "sparrow search --data FOLDER --space mobile --trials 100 --halving",
                "sparrow search --resume runs/mine",
            ),
        ),
        "trial": Entry(
            "launch.cli.trial:trial_command",
            "Run one trial without Ray: train, prune, fine-tune, evaluate, measure.",
            (
                "sparrow trial mfssd --data FOLDER --set train.epochs=20",
                "sparrow trial examples/bccd.json --data FOLDER",
            ),
        ),
        "train": Entry(
            "launch.cli.train:train_command",
            "Train a detector for long: a trial of a study, a saved one, or a paper's system.",
            (
                "sparrow train runs/mine:3 --epochs 100",
                "sparrow train runs/mine:3 --data FOLDER --anew --teacher runs/mine:7",
                "sparrow train runs/mine:3 --epochs 300 --gpus 4",
                "sparrow train --resume runs/trained/mine-3-FINGERPRINT",
            ),
        ),
        "ladder": Entry(
            "launch.cli.ladder:ladder_command",
            "Train a detector once, and prune and fine-tune it at several ratios.",
            ("sparrow ladder mfssd_bn --data FOLDER --ratios 0.3,0.5,0.7",),
        ),
        "submit": Entry(
            "launch.cli.submit:submit_command",
            "Run a search as a job on a Ray cluster, with this code and the plugins.",
            (
                "sparrow submit --address http://HEAD:8265 search --data /shared/data "
                "--out /shared/runs/mine",
            ),
            passes_on=True,
        ),
        "reproduce": Entry(
            "launch.cli.reproduce:reproduce_command",
            "Run the rows of a paper's table, and compare them with its figures.",
            (
                "sparrow reproduce",
                "sparrow reproduce fssd-2 --data FOLDER --out runs/fssd-2",
            ),
        ),
    },
    "Look at what was found": {
        "report": Entry(
            "launch.cli.report:report_command",
            "Rebuild the front and the report of a study from stored results.",
            (
                "sparrow report runs/mine",
                "sparrow report runs/mine --measured jetson.json",
                "sparrow report runs/mine --json",
            ),
        ),
        "bundle": Entry(
            "launch.cli.bundle:bundle_command",
            "Write detectors of a study into a file that measures them on a device by itself.",
            ("sparrow bundle runs/mine --out bundle.zip",),
        ),
        "trials": Entry(
            "launch.cli.trials:trials_command",
            "List all trials of a study, or write them with every figure and choice to a file.",
            (
                "sparrow trials runs/mine",
                "sparrow trials runs/mine --out trials.csv",
            ),
        ),
        "watch": Entry(
            "launch.cli.watch:watch_command",
            "Watch a running search from another terminal: its trials, front and budget.",
            (
                "sparrow watch runs/mine",
                "sparrow watch runs/mine --once",
                "sparrow watch runs/mine --json",
            ),
        ),
        "history": Entry(
            "launch.cli.history:history_command",
            "Show the learning curves of a study's trials, or write them to a file.",
            (
                "sparrow history runs/mine --trial 3 --trial 7",
                "sparrow history runs/mine --out curves.csv",
                "sparrow history runs/mine --tensorboard runs/mine/tensorboard",
            ),
        ),
        "dashboard": Entry(
            "launch.cli.dashboard:dashboard_command",
            "Open a study in Optuna's dashboard, also while the search runs.",
            (
                "sparrow dashboard runs/mine",
                "sparrow dashboard runs/mine --port 0",
            ),
        ),
        "fps": Entry(
            "launch.cli.fps:fps_command",
            "Measure the frames per second of detectors in turns.",
            ("sparrow fps ssd300_vgg16 mfssd",),
        ),
        "eval": Entry(
            "launch.cli.eval:eval_command",
            "Score a model: COCO, VOC, classes, sizes, errors by kind, curves, thresholds.",
            (
                "sparrow eval runs/mine:3 --data FOLDER --out runs/mine/evaluation",
                "sparrow eval detector.onnx --data FOLDER --precision 0.9",
            ),
        ),
        "compare": Entry(
            "launch.cli.compare:compare_command",
            "Compare models on the same images, or the fronts of studies.",
            (
                "sparrow compare runs/mine:3 runs/mine:7 --data FOLDER --out compared",
                "sparrow compare runs/mine runs/other",
            ),
        ),
        "predict": Entry(
            "launch.cli.predict:predict_command",
            "Draw detections on images or a video, or write them as CSV, YOLO, COCO or VOC.",
            (
                "sparrow predict runs/mine:3 IMAGES --out drawn",
                "sparrow predict detector.onnx IMAGES --to csv --out found.csv --threshold 0.4",
                "sparrow predict runs/mine:3 street.mp4 --every 5 --out drawn",
                "sparrow predict DETECTOR --data FOLDER --to coco --out results.json",
            ),
        ),
        "export": Entry(
            "launch.cli.export:export_command",
            "Write a detector as one model from images to detections, NMS inside.",
            (
                "sparrow export runs/mine:3 --to onnx",
                "sparrow export DETECTOR --to openvino --precision int8 --data FOLDER "
                "--max-drop 0.01",
            ),
        ),
    },
    "Before a search": {
        "data": Entry(
            "launch.cli.main:data",
            "Generate, check, report on, reduce and preview data sets.",
        ),
        "space": Entry(
            "launch.cli.space:space_command",
            "Show a space as a tree, with its size; without a name, the sizes of all named spaces.",
            (
                "sparrow space",
                "sparrow space mobile --choices",
            ),
        ),
        "papers": Entry(
            "launch.cli.papers:papers_command",
            "List the papers' systems with their published figures; with a name, show one.",
            (
                "sparrow papers",
                "sparrow papers mfssd_bn@coco",
            ),
        ),
        "describe": Entry(
            "launch.cli.describe:describe_command",
            "Show a detector layer by layer: shapes, parameters, MACs, priors.",
            ("sparrow describe mfssd_bn",),
        ),
        "cache": Entry(
            "launch.cli.main:cache",
            "Show or remove decoded images and fetched data on this machine.",
            ("sparrow cache show", "sparrow cache clear"),
        ),
        "clean": Entry(
            "launch.cli.clean:clean_command",
            "Remove what searches that were killed left on this machine, and in studies.",
            ("sparrow clean --dry-run",),
        ),
    },
}
"""By panel and name, the place of each command, its help and examples."""

DATA = {
    "Commands": {
        "shapes": Entry(
            "launch.cli.data:shapes_command",
            "Generate images of textured shapes as a COCO folder.",
            ("sparrow data shapes shapes --train-images 64 --val-images 32",),
        ),
        "check": Entry(
            "launch.cli.data:check_command",
            "Check a data set as a search would; exits 0 when it can be used, 1 when not.",
            (
                "sparrow data check FOLDER",
                "sparrow data check --images FOLDER --annotations FILE",
            ),
        ),
        "report": Entry(
            "launch.cli.data_report:report_command",
            "Write the health of a data set as a page: sizes, copies, leaks, fit of priors.",
            ("sparrow data report FOLDER",),
        ),
        "convert": Entry(
            "launch.cli.convert:convert_command",
            "Write a data set anew, images included, as COCO, YOLO or Pascal VOC.",
            ("sparrow data convert FOLDER converted --to yolo",),
        ),
        "subset": Entry(
            "launch.cli.data:subset_command",
            "Reduce an annotation file to some classes and a random subset of its images.",
            (
                "sparrow data subset --annotations instances.json --classes person,car "
                "--count 500 --out small.json",
            ),
        ),
        "preview": Entry(
            "launch.cli.preview:preview_command",
            "Draw augmented training images with their boxes and class names.",
            ("sparrow data preview FOLDER --out preview.png",),
        ),
    }
}
"""The same for the commands of `sparrow data`."""

CACHE = {
    "Commands": {
        "show": Entry(
            "launch.cli.cache:show_command",
            "List decoded images and fetched data, those not used for longest first.",
            ("sparrow cache show",),
        ),
        "clear": Entry(
            "launch.cli.cache:clear_command",
            "Remove all that no process uses; it is made or fetched again when it is needed.",
            ("sparrow cache clear",),
        ),
    }
}
"""The same for the commands of `sparrow cache`."""

app = lazy_group(
    "Search detectors for small objects together with their compression.",
    COMMANDS,
    sparrow,
    completion=True,
)
data = lazy_group("Generate, check, report on, reduce and preview data sets.", DATA)
cache = lazy_group("Show or remove decoded images and fetched data on this machine.", CACHE)


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
