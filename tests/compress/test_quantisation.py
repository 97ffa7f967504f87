"""Int8 models that lie beside their detector."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from compress.quantisation import calibration_images, quantise
from detectors.data.dataset import Dataset
from detectors.data.loader import evaluation_batches
from detectors.data.readers import DataSource
from detectors.data.reading import read_source
from detectors.data.shapes import ShapesConfig, generate_shapes
from detectors.runtimes import deploy, load_detector
from detectors.runtimes.libraries import library
from searchspace import CompressConfig
from searchspace.compression import Int8
from tests.detectors.deployable import CPU, deployable, images_for, needs_extra, relative_error
from tests.fewer import few


@needs_extra
@pytest.mark.parametrize("runtime", few(["openvino", "onnxruntime"], "onnxruntime"))
def test_a_model_comes_back_as_it_was_quantised(tmp_path: Path, runtime: str) -> None:
    detector, config = deployable("ssdmnetv1"), Int8(runtime=runtime)
    images = images_for(detector, 4)
    path = quantise(detector, config, images, tmp_path / "int8")
    assert path.parent == tmp_path / "int8"
    loaded = load_detector(tmp_path / "int8")
    assert loaded.form == (runtime, "int8")
    direct = deploy(detector, runtime, "int8", CPU, images)
    assert relative_error(loaded.network(images), direct.network(images)) < 1e-6


@needs_extra
def test_the_network_is_quantised_and_nothing_else(tmp_path: Path) -> None:
    detector = deployable("fssd300")
    path = quantise(detector, Int8(), images_for(detector, 2), tmp_path)
    steps = library("openvino").Core().read_model(path).get_ops()
    quantised = {
        step.get_friendly_name().split("/fq_")[0]
        for step in steps
        if step.get_type_name() == "FakeQuantize"
    }
    # The input of the first convolution, then the outputs of layers of the network.
    assert len(quantised) > 10
    outside = {name for name in quantised if not name.startswith(("/backbone/", "/neck/"))}
    assert outside == {"/Div"}


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    config = ShapesConfig(train_images=10, val_images=1, size=64, seed=1)
    folder = generate_shapes(tmp_path_factory.mktemp("shapes") / "set", config)
    return read_source(DataSource.from_folder(folder))[0]


@pytest.mark.parametrize(
    ("most", "places"), [(4, [0, 2, 5, 7]), (10, range(10)), (99, range(10)), (1, [0])]
)
def test_calibration_images_are_spread_over_a_split(
    split: Dataset, most: int, places: list[int]
) -> None:
    images = calibration_images(split, most, (48, 64))
    _, every = next(evaluation_batches(split, (48, 64), 10))
    assert torch.equal(images, every[list(places)].float() / 255)


def test_int8_is_a_choice_that_a_space_has_to_name() -> None:
    assert CompressConfig().quantisation.kind == "none"
    config = CompressConfig(quantisation=Int8(images=7))
    assert CompressConfig.model_validate_json(config.model_dump_json()) == config
    with pytest.raises(ValueError, match="quantisation"):
        CompressConfig.model_validate({"quantisation": {"kind": "int8", "runtime": "eager"}})
