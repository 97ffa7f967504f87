"""The layout of what searches and trials leave on disk: every name, once. See `docs/files.md`."""

from __future__ import annotations

from searchspace.compression import Int8
from searchspace.trial import TrialConfig

FORMAT = 1
"""Of a study's folder; raised when what lies there is named or written in another way. A study of
another format is refused by name."""

# A study's folder.
SETTINGS = "study.json"
JOURNAL = "journal.jsonl"
DAMAGED_LINES = "journal.damaged.jsonl"
OPTUNA_LOG = "optuna.log"
LOCK = "study.lock"
ORIGIN = "address.txt"
"""The address of which the folder is a copy; only in a copy."""
OTHERS = "others"
"""The addresses of other drivers of the study, by the names of their copies."""
CLAIMS = "claims"
"""At an address: which processes work on the study, and on one of its stages."""
TRIALS = "trials"
STAGES = "stages"
RAY = "ray"
RAY_LOG = "ray.log"
AUTO_SPACE = "auto.toml"
TRACKED = "tracked-{}.jsonl"
"""Which trials were logged to the tracker of that name, and as which runs."""
SHARED_JSON = "shared.json"
"""The scores of designs with shared weights."""
REPORT_HTML = "report.html"
FRONT_JSON = "front.json"
FRONT_CSV = "front.csv"
BUNDLES = "bundles"
"""What is known of the bundles that were written of it, by their hash."""
MEASURED = "measured"
"""Reports over the speeds of other devices."""
MEMBERS = "members"
"""A page for each trial of the front, and a folder beside it with what the page shows."""
PUBLISHED_JSON = "published.json"
PUBLISHED_CSV = "published.csv"
"""Papers' systems among the trials, beside their published figures."""

# A folder of `sparrow eval --out`.
EVALUATION_HTML = "evaluation.html"
EVALUATION_JSON = "evaluation.json"
EVALUATION_CSV = "curves.csv"
COMPARISON_HTML = "comparison.html"
COMPARISON_JSON = "comparison.json"

# A folder of `sparrow train`, which is also that of a trial.
TRAINING = "training.json"
"""What was asked for, by which it is resumed."""
TRAINING_LOCK = "training.lock"
TRAINED = "trained.json"
"""The detector before and after, and where it is beside the front that it is from."""
EVALUATION = "evaluation"

# A folder in `MEMBERS`, which may be deleted: it is made again.
LAYERS_JSON = "layers.json"
NETWORK_JSON = "network.json"
"""The network that the configuration builds, where the trained one was not looked at."""
LOOK_JSON = "look.json"
FOUND_NPZ = "found.npz"
"""Detections on some validation images."""

# A trial's folder.
TRIAL = "trial.json"
PREDICTED = "predicted.json"
FITTED = "fitted.json"
"""How its batches fitted into memory, where the trial found that itself."""
ATTEMPT = "attempt.json"
"""While an attempt at it runs: by what it is seen that the kernel has killed its process."""
DENSE = "dense"
COMPACT = "compact"
"""Folders of the detector after each part of the training, beside which lies a file of the same
name with its figures."""
PLAN = "plan.json"
"""Which channels were removed."""
INT8 = "int8"
"""The folder of the quantised detector."""
RESULT = "result.json"
PROGRESS = "progress.jsonl"
"""What a trial is doing, and its learning curves."""
LOG = "log.txt"
TRACEBACK = "traceback.txt"

# A store of stages.
SPEEDS = "speeds"
LOCKS = "locks"
MANIFEST = "stage.json"
RECORD = "record.json"
SCRATCH = "scratch"
"""The folder of an unfinished artefact whose files serve the next attempt alone."""
DETECTOR = "detector"
"""The folder of an artefact that `load_detector` takes."""
CHECKPOINT = "checkpoint"
"""In `SCRATCH`."""
SHARED_TENSORS = "shared.safetensors"
"""In the artefact of shared weights."""
START = "start.json"
"""Which initial weights found a place, and which did not."""
STEPS = "steps.json"
"""Whether the steps of a training were compiled, and why."""
AGREEMENT = "agreement.json"
"""How well int8 agrees with what it was made from."""


def final_folder(config: TrialConfig) -> str:
    """The folder of the detector that a trial's figures were measured on."""
    return INT8 if isinstance(config.compress.quantisation, Int8) else trained_folder(config)


def trained_folder(config: TrialConfig) -> str:
    """The folder of a trial's final detector in float32, before it was quantised."""
    return DENSE if config.compress.leaves_dense else COMPACT


def figures_file(detector: str) -> str:
    """The file with the figures of `DENSE` or `COMPACT`, beside its folder."""
    return f"{detector}.json"
