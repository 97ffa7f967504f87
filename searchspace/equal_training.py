"""Equal training for equal comparison: what a space says of the epochs that follow the training.

Pruned designs are trained, then fine-tuned. If unpruned ones were only trained, a front would show
what the further epochs bring as if pruning had brought it. So one statement holds for a whole
space: ways of pruning that it says nothing of take what it says of another, and unpruned designs
are trained on for as long as any pruned one is fine-tuned.
"""

from __future__ import annotations

from collections.abc import Mapping

from searchspace.compression import CompressConfig, ContinuedTraining, Unpruned
from searchspace.domains import Choice, Domain, Fixed, IntRange
from searchspace.walk import entries

EPOCHS, RATE = ContinuedTraining.model_fields
UNPRUNED = Unpruned.model_fields["kind"].default


def equal_training(domains: Mapping[str, Domain]) -> dict[str, Domain]:
    """The domains of a space, with those that it does not give of what follows the training.

    Unpruned designs are trained on only where the space has pruned ones besides. Their epochs are
    not searched: they are the most that a pruned design may get, so that none of these has more.
    What the space does say stays as it is.
    """
    compress = entries(CompressConfig, domains, "compress")
    pruning = next(entry for entry in compress if entry.members and UNPRUNED in entry.members)
    ways = [kind for kind in pruning.kinds if kind != UNPRUNED]
    found = dict(domains)
    for name in (EPOCHS, RATE):
        paths = [f"{pruning.path}.{kind}.{name}" for kind in ways]
        said = [domains[path] for path in paths if path in domains]
        own = [Fixed(pruning.members[kind].model_fields[name].default) for kind in ways]
        found = dict.fromkeys(paths, said[0]) | found if said else found
        if ways and UNPRUNED in pruning.kinds:
            given = said or own
            value = max(map(_most, given)) if name == EPOCHS else given[0].nearest(own[0].value)
            found.setdefault(f"{pruning.path}.{UNPRUNED}.{name}", Fixed(value))
    return found


def _most(domain: Domain) -> int:
    """The largest number that may be drawn."""
    match domain:
        case Fixed(value):
            return value
        case Choice(options):
            return max(options)
        case IntRange(high=high):
            return high
    raise TypeError(f"{domain} holds no counts of epochs")
