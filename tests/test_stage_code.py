"""The keys of artefacts cannot go stale: code that changed is confirmed, or gets a version."""

from __future__ import annotations

import json

from launch.trial.store import VERSIONS
from tests.stage_code import STAGES, TABLE, closure, current, digest


def test_the_code_of_every_stage_is_what_its_version_was_given_for() -> None:
    then, now = json.loads(TABLE.read_text(encoding="utf-8")), current()
    differ = {m for m in {*then["code"], *now["code"]} if then["code"].get(m) != now["code"].get(m)}
    stages = [stage for stage in STAGES if differ & closure(STAGES[stage])]
    assert then == now, (
        f"the code of these stages has changed: {', '.join(stages) or 'none'} (in "
        f"{', '.join(sorted(differ)) or 'no module'}). Where one gives other results than before, "
        "raise its number in launch.trial.store.VERSIONS. Then, or where results are as before, "
        "run python -m tests.stage_code and commit tests/stage_code.json"
    )


def test_every_stage_with_a_version_is_known() -> None:
    assert set(VERSIONS) <= set(STAGES)


def test_stages_depend_on_what_they_call() -> None:
    assert {"detectors.losses.gfl", "detectors.data.samples"} <= closure(STAGES["train"])
    assert "compress.ranking" in closure(STAGES["prune"])
    assert "compress.ranking" not in closure(STAGES["rung"])
    assert not any(m.startswith(("launch.report", "launch.cli")) for m in current()["code"])


def test_words_do_not_count_and_code_does() -> None:
    plain = digest("def f(x):\n    if x:\n        raise ValueError('a')\n    return x + 1\n")
    same = "import y\n\ndef f(x: int) -> int:\n    '''Doc.'''\n    if x:  # why\n        raise y"
    assert digest(f"{same}\n    return x + 1\n") == plain
    assert digest(f"{same}\n    return x + 2\n") != plain
