import pytest
import torch

from detectors.training.layout import layout
from searchspace import papers

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("system", "device", "processor", "last"),
    [
        ("ssd300_vgg16", CPU, "AVX2", False),
        ("mfssd_bn", CPU, "AVX2", False),
        ("ssd300_vgg16", CPU, "DEFAULT", False),
        ("ssd300_vgg16", CPU, "AVX512", True),
        ("ssd300_vgg16", GPU, "AVX2", True),
        ("ssdmnetv1_s1l0", CPU, "AVX2", True),
        ("gfl_r50", CPU, "AVX2", True),
    ],
)
def test_only_vgg_on_a_processor_with_short_vectors_keeps_channels_first(
    monkeypatch: pytest.MonkeyPatch, system: str, device: torch.device, processor: str, last: bool
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: processor)
    order = torch.channels_last if last else torch.contiguous_format
    assert layout(papers[system].trial.detector, device) == order
