"""Drivers, which run a study's trials."""

import os

# Here, before any of the modules imports Ray, which reads them when it is imported or started: no
# result files in other formats, no change of the working directory (paths are absolute), and no
# progress output (the study prints its own).
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# An interrupt ends the search immediately; Tune would finish its current step first, which may
# block.
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
# Ray would run trials with the lowest priority.
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
