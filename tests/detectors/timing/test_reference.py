from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from detectors.timing.reference import reference_call

CPU = torch.device("cpu")


@torch.inference_mode()
def test_the_reference_is_the_same_everywhere() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    outputs = [network(image) for network, image in (reference_call(CPU) for _ in range(2))]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*outputs)
    assert outputs[0].dtype == torch.float32
    assert outputs[0].std() > 0


@torch.inference_mode()
def test_its_size_is_fixed() -> None:
    """Another size would be another reference: raise `REFERENCE_VERSION` with it."""
    network, image = reference_call(CPU)
    with FlopCounterMode(display=False) as counter:
        network(image)
    assert counter.get_total_flops() // 2 == 147_238_400
    assert sum(p.numel() for p in network.parameters()) == 362_176
