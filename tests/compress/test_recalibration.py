from __future__ import annotations

import copy

import torch

from compress import prune, recalibrate
from detectors.data.loader import Batch
from tests.compress.systems import batch_for, built, by_l2, norms


def batches(detector, count: int = 3) -> list[Batch]:
    return [Batch((255 * batch_for(detector, 4, seed)).byte(), []) for seed in range(count)]


@torch.no_grad()
def test_statistics_are_the_means_over_the_batches() -> None:
    detector = built("ssdmnetv1")
    given = batches(detector)
    first = detector.backbone.layer0[0]
    maps = [first((batch.images.float() / 255 - detector.mean) / detector.std) for batch in given]
    recalibrate(detector, given)
    norm = detector.backbone.layer0[1]
    means = torch.stack([x.mean((0, 2, 3)) for x in maps]).mean(0)
    variances = torch.stack([x.var((0, 2, 3)) for x in maps]).mean(0)
    torch.testing.assert_close(norm.running_mean, means, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, variances, rtol=1e-4, atol=1e-5)


def test_nothing_but_statistics_changes() -> None:
    detector = built("ssdmnetv1")
    before = copy.deepcopy(detector)
    recalibrate(detector, batches(detector))
    state = before.state_dict()
    changed = {n for n, t in detector.state_dict().items() if not torch.equal(t, state[n])}
    assert changed == {
        f"{n}.{x}"
        for n in norms(detector)
        for x in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert not detector.training
    assert {norm.momentum for norm in norms(detector).values()} == {0.1}


@torch.no_grad()
def test_maps_of_a_pruned_detector_have_the_spread_again_that_norms_give() -> None:
    """Behind a batch norm whose statistics fit, a channel has the shift and scale learned."""
    detector = built("mfssd_bn")
    recalibrate(detector, batches(detector))
    prune(detector, by_l2(ratio=0.5))

    def misfit() -> float:
        seen = []
        hook = detector.neck.fuse1.norm.register_forward_hook(lambda m, i, o: seen.append(o))
        detector.predict(torch.cat([b.images.float() / 255 for b in batches(detector)]))
        hook.remove()
        norm = detector.neck.fuse1.norm
        return (seen[0].std((0, 2, 3)) / norm.weight.abs()).log().abs().mean().item()

    before = misfit()
    recalibrate(detector, batches(detector))
    assert misfit() < 0.2 * before
