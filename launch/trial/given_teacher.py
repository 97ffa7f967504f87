"""The teacher that a search is given (`--teacher`): put where a space calls it `given`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from launch.trial.data import TrialError
from launch.trial.teachers import TEACHER, TRAINING, teacher_domains
from searchspace import Space
from searchspace.distillation import GIVEN
from searchspace.domains import options


def with_teacher(space: Space, teacher: Path | None) -> Space:
    """The space with the teacher that a search is given where it is called `given`.

    A space that draws no teacher of this name gets it as a teacher of the training, channel-wise or
    not at all. Without a teacher, kinds of distillation that need it are removed.

    Raises:
        TrialError: there is no teacher, but the space does not do without.
    """
    drawn = (domain for path, domain in space.fields() if path.endswith(TEACHER))
    if teacher and not any(GIVEN in options(domain) for domain in drawn):
        space = _among(space, f"{TRAINING}.kind", ["none", "channel_wise"])
        space = space.fix(f"{TRAINING}.channel_wise{TEACHER}", GIVEN)
    for path, domain in teacher_domains(space):
        if GIVEN not in options(domain):
            continue
        others = [name for name in options(domain) if name != GIVEN]
        if teacher or others:
            space = _among(space, path, [*others, str(teacher)] if teacher else others)
        else:
            space = _without(space, path)
    return space


def _without(space: Space, path: str) -> Space:
    """The space without the kind of distillation whose teacher has this path."""
    owner, kind, _ = path.rsplit(".", 2)
    kinds = dict(space.fields()).get(f"{owner}.kind")
    space = Space(space.name, {name: d for name, d in space.domains.items() if name != path})
    if kinds is None or kind not in options(kinds):
        return space
    left = [other for other in options(kinds) if other != kind]
    if not left:
        raise TrialError(
            f"space {space.name}: {owner} always has the teacher {GIVEN!r}: give --teacher FOLDER"
        )
    return _among(space, f"{owner}.kind", left)


def _among(space: Space, path: str, values: Sequence[str]) -> Space:
    """The space with these values of a field."""
    return space.fix(path, {"choice": values} if len(values) > 1 else values[0])
