"""Values that no machine could work with are refused where they are written."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from searchspace import TrialConfig


def changed(path: str, value: object) -> dict[str, Any]:
    """The default trial as JSON shows it, with one field changed."""
    document = TrialConfig().model_dump(mode="json")
    *folders, last = path.split(".")
    place = document
    for name in folders:
        place = place[name]
    place[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "largest"),
    [
        ("detector.input_size", 16_384),
        ("detector.num_classes", 10_000),
        ("train.batch_size", 65_536),
        ("train.epochs", 100_000),
        ("measure.batch", 4096),
        ("measure.threads", 1024),
        ("seed", 2**31 - 1),
    ],
)
def test_absurd_sizes_name_the_field(path: str, largest: int) -> None:
    TrialConfig.model_validate(changed(path, largest))
    for absurd in (largest + 1, 10**30, -1):
        with pytest.raises(ValidationError) as caught:
            TrialConfig.model_validate(changed(path, absurd))
        assert ".".join(map(str, caught.value.errors()[0]["loc"])).startswith(path)
