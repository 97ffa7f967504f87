"""Where tiles lie: hand-computed, and what holds for any image."""

from __future__ import annotations

import random
from itertools import pairwise

import optuna
import pytest
from pydantic import ValidationError

from searchspace.detector import DetectorConfig
from searchspace.geometry import Window
from searchspace.space_files import load_space
from searchspace.tiles import Merge, NoTiles, Tiled, TileGrid, TileSize
from searchspace.trial import TrialConfig


def test_tiles_of_a_size_by_hand() -> None:
    # Steps of 512; the last tile is shifted inside: 1920 - 640 and 1080 - 640.
    lefts, tops = (0, 512, 1024, 1280), (0, 440)
    expected = [Window(left, top, 640, 640) for top in tops for left in lefts]
    assert list(TileSize(side=640, overlap=0.2).windows((1080, 1920))) == expected


def test_tiles_without_overlap_that_fit_exactly() -> None:
    tiles = TileSize(side=(100, 200), overlap=0).windows((200, 400))
    assert [tile[:2] for tile in tiles] == [(0, 0), (200, 0), (0, 100), (200, 100)]
    assert {tile[2:] for tile in tiles} == {(200, 100)}


def test_a_grid_by_hand() -> None:
    # 100 = s + 2 * 0.5 * s, so s = 50, in steps of 25; 60 = s + 0.5 * s, so s = 40.
    tiles = TileGrid(rows=3, columns=2, overlap=0.5).windows((100, 60))
    assert [tile[:2] for tile in tiles] == [(0, 0), (20, 0), (0, 25), (20, 25), (0, 50), (20, 50)]
    assert {tile[2:] for tile in tiles} == {(40, 50)}


@pytest.mark.parametrize("whole", [False, True])
def test_an_image_no_larger_than_a_tile_is_one_window(whole: bool) -> None:
    tiles = TileSize(side=640, whole=whole)
    for size in ((640, 640), (480, 640), (1, 1)):
        assert tiles.windows(size) == (Window(0, 0, size[1], size[0]),)


def test_the_whole_image_comes_last() -> None:
    tiles = TileGrid(rows=1, columns=2, overlap=0, whole=True)
    assert tiles.windows((10, 20))[1:] == (Window(10, 0, 10, 10), Window(0, 0, 20, 10))


def drawn(rng: random.Random) -> Tiled:
    overlap = rng.choice([0.0, 0.1, 0.2, 0.5, 0.9])
    if rng.random() < 0.5:
        rows, columns = rng.randint(1, 6), rng.randint(2, 6)
        return TileGrid(rows=rows, columns=columns, overlap=overlap)
    side = (rng.randint(16, 300), rng.randint(16, 300))
    return TileSize(side=side, overlap=overlap)


def test_tiles_cover_the_image_lie_in_it_and_overlap_enough() -> None:
    rng = random.Random(0)
    for _ in range(300):
        tiles, (height, width) = drawn(rng), (rng.randint(1, 900), rng.randint(1, 900))
        found = tiles.windows((height, width))
        assert len(set(found)) == len(found)
        assert len({tile.size for tile in found}) == 1
        for starts, side, own in (
            (sorted({tile.left for tile in found}), width, found[0].width),
            (sorted({tile.top for tile in found}), height, found[0].height),
        ):
            assert starts[0] == 0
            assert starts[-1] + own == side
            for a, b in pairwise(starts):
                # Up to rounding to whole pixels.
                assert b - a <= (1 - tiles.overlap) * own + 1
                assert b - a <= own
        if isinstance(tiles, TileGrid) and min(height, width) >= 60:
            assert len(found) == tiles.rows * tiles.columns


@pytest.mark.parametrize(
    ("tiles", "path", "words"),
    [
        ({"kind": "size", "overlap": 1.0}, "tiles.size.overlap", "less than or equal to 0.9"),
        ({"kind": "size", "side": 0}, "tiles.size.side", "greater than or equal to 16"),
        ({"kind": "grid", "rows": 0}, "tiles.grid.rows", "greater than or equal to 1"),
        ({"kind": "grid", "rows": 1, "columns": 1}, "tiles.grid", "that is the whole image"),
        ({"kind": "grid", "merge": {"threshold": 0}}, "tiles.grid.merge.threshold", "than 0"),
        ({"kind": "sizes"}, "tiles", "'none', 'grid', 'size'"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_path(
    tiles: dict[str, object], path: str, words: str
) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        DetectorConfig.model_validate({"tiles": tiles})
    assert ".".join(map(str, caught.value.errors()[0]["loc"])).startswith(path)


def test_without_tiles_nothing_has_another_name() -> None:
    assert "tiles" not in DetectorConfig().cause()
    config = TrialConfig()
    cut = config.changed(detector=config.detector.changed(tiles=TileGrid()))
    assert cut.digest() != config.digest()
    assert TrialConfig.model_validate_json(cut.model_dump_json()) == cut
    assert DetectorConfig().canvas.tiles is None


def test_words() -> None:
    assert NoTiles().in_words() == ""
    assert TileSize(side=640, whole=True).in_words() == (
        "tiles of 640 px and the whole image, overlap 20 %, merged by IoS 0.5"
    )
    merge = Merge(by="nms", threshold=0.6, per_class=False)
    assert TileGrid(rows=2, columns=3, overlap=0, merge=merge).in_words() == (
        "2\N{MULTIPLICATION SIGN}3 tiles, merged by NMS 0.6 across classes"
    )


def test_the_space_of_tiles_draws_them_with_the_input_size_and_reads_them_back() -> None:
    space = load_space("tiles")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(40):
        try:
            config = space.suggest(study.ask())
        except ValidationError:
            continue
        tiles = config.detector.tiles
        seen.add((tiles.kind, config.detector.input_size))
        params = space.to_params(config)
        assert params["detector.tiles.kind"] == tiles.kind
        assert (params.get("detector.tiles.grid.rows") is None) == isinstance(tiles, NoTiles)
        assert space.suggest(optuna.trial.FixedTrial(params)) == config
    assert {kind for kind, _ in seen} == {"none", "grid"}
    assert len(seen) > 4
    assert space.baseline().detector.tiles == NoTiles()
    assert not load_space("mobile").holds(config_with(TileGrid()))


def config_with(tiles: Tiled) -> TrialConfig:
    baseline = load_space("mobile").baseline()
    return baseline.changed(detector=baseline.detector.changed(tiles=tiles))
