"""Who teaches, in words."""

from __future__ import annotations

from launch.report import describe_in_words
from searchspace import CompressConfig, TrainConfig, TrialConfig
from searchspace.compression import Slimming
from searchspace.distillation import ChannelWise, Logits


def test_no_teacher_is_not_mentioned() -> None:
    assert "taught" not in describe_in_words(TrialConfig())


def test_words_tell_the_parent_and_what_it_shows() -> None:
    lesson = ChannelWise(location="both", weight=12.345, temperature=2)
    compress = CompressConfig(pruning=Slimming(ratio=0.4, distillation=lesson))
    assert describe_in_words(TrialConfig(compress=compress)).endswith(
        "pruned 40 %, taught by its parent (class logits and maps, weight 12, temperature 2)"
    )


def test_words_tell_a_named_teacher_by_the_end_of_its_path() -> None:
    train = TrainConfig(distillation=Logits(teacher="/far/away/r101/dense", weight=0.5))
    assert describe_in_words(TrialConfig(train=train)).endswith(
        "taught by r101/dense (class probabilities, weight 0.5, temperature 2)"
    )
