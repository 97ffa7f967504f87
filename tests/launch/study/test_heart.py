"""A driver counts as dead by looks at its beat, and never by a clock."""

from __future__ import annotations

from launch.study.heart import LOOKS, Heart


class Beats:
    """Beats of other drivers, as a database would hold them."""

    def __init__(self, **beats: int) -> None:
        self.beats = beats

    def beat(self) -> dict[str, int]:
        return dict(self.beats)


def test_one_whose_beat_stands_still_for_long_enough_is_dead() -> None:
    others = Beats(lively=0, still=7)
    heart = Heart(others)
    for look in range(LOOKS):
        others.beats["lively"] += 1
        heart.beat()
        assert not heart.dead, look
    others.beats["lively"] += 1
    heart.beat()
    assert heart.dead == {"still": 7}


def test_one_that_beats_again_lives_and_its_looks_count_from_anew() -> None:
    others = Beats(other=0)
    heart = Heart(others)
    for _ in range(LOOKS):
        heart.beat()
    others.beats["other"] += 1
    heart.beat()
    for _ in range(LOOKS - 1):
        heart.beat()
    assert not heart.dead
    heart.beat()
    assert heart.dead == {"other": 1}


def test_one_that_left_is_forgotten() -> None:
    others = Beats(other=3)
    heart = Heart(others)
    for _ in range(LOOKS + 1):
        heart.beat()
    del others.beats["other"]
    heart.beat()
    assert not heart.dead
