from __future__ import annotations

import pytest

from searchspace import TrainConfig, TrialConfig
from searchspace.augmentation import Augment, CopyPaste, MultiScale
from searchspace.schedules import Cosine, RateFactors, Steps
from searchspace.words import TIMES


def words(**recipe: object) -> str:
    """The description of a recipe, after that of the stock detector."""
    stock = TrialConfig().in_words()
    text = TrialConfig(train=TrainConfig(**recipe)).in_words()
    assert text.startswith(stock)
    return text[len(stock) :].removeprefix(", ")


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        ({}, ""),
        ({"copy_paste": CopyPaste(pastes=3, source="box")}, ""),  # nothing is pasted
        ({"copy_paste": CopyPaste(copies=2)}, f"copy-paste 2{TIMES}"),
        (
            {"copy_paste": CopyPaste(probability=0.5, pastes=3, source="box", max_area=400)},
            "online copy-paste 50 %, 3 pastes an object, pasted by box, "
            "pasted below 400 px\N{SUPERSCRIPT TWO}",
        ),
        (
            {"copy_paste": CopyPaste(copies=1, scale_jitter=0, rotation=0)},
            f"copy-paste 1{TIMES}, paste jitter 0 %, 0\N{DEGREE SIGN}",
        ),
        ({"augment": Augment(mosaic=0.5)}, "mosaic 50 %"),
        ({"augment": Augment(mosaic=1, mixup=0.5)}, "mosaic 100 % with mixup 50 %"),
        ({"augment": Augment(mixup=0.5)}, ""),  # nothing is mixed
        (
            {"augment": Augment(mosaic=1), "plain_epochs": 15, "ema": 0.9998},
            "mosaic 100 % but for 15 epochs, EMA 0.9998",
        ),
        (
            {"multi_scale": MultiScale(smallest=0.75, largest=1.25)},
            f"input sizes 0.75 to 1.25{TIMES}",
        ),
        ({"schedule": Steps()}, "rate falls at 67, 92 %"),
        ({"schedule": Cosine(floor=0.05)}, "rate falls to 5 %"),
        ({"weights": "runs/mine/ssd/dense"}, "starts from ssd/dense"),
        (
            {"weights": "ssd", "rates": RateFactors(backbone=0.1, new=2)},
            f"starts from ssd, backbone at 0.1{TIMES} the rate, new parts at 2{TIMES} the rate",
        ),
    ],
)
def test_a_recipe_is_described_by_its_differences(recipe: dict[str, object], text: str) -> None:
    assert words(**recipe) == text
