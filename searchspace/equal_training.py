"""Equal training for a fair comparison: the second part of the training in a space.

Pruned designs are trained, then fine-tuned. If unpruned ones were only trained, a front would
attribute the gain of the additional epochs to pruning. So a setting holds for a whole space: kinds
of pruning without it take that of another kind, and unpruned designs are trained for as many more
epochs as any pruned one is fine-tuned.
"""

from __future__ import annotations

from collections.abc import Mapping

from searchspace.compression import CompressConfig, ContinuedTraining, Unpruned
from searchspace.domains import Choice, Domain, Fixed, IntRange
from searchspace.fields import entries

EPOCHS, RATE = ContinuedTraining.model_fields
UNPRUNED = Unpruned.model_fields["kind"].default


def equal_training(domains: Mapping[str, Domain]) -> dict[str, Domain]:
    """The domains of a space, completed by those of the second part of the training.

    Unpruned designs have a second part only if the space has pruned ones as well. Its epochs are
    not
    searched: they are the most that a pruned design can have. Domains given by the space are
    unchanged.
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
    """The largest number in a domain."""
    match domain:
        case Fixed(value):
            return value
        case Choice(options):
            return max(options)
        case IntRange(high=high):
            return high
    raise TypeError(f"{domain} holds no counts of epochs")
