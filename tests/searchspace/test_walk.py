from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import optuna
import pytest
from optuna.trial import FixedTrial
from pydantic import ValidationError

from searchspace import (
    OutsideSpace,
    Space,
    TrialConfig,
    load_space,
    papers,
    project,
    space_names,
    suggest,
    to_params,
)
from searchspace.compression import CompressConfig, Slimming, Unpruned
from searchspace.domains import Choice, Domain, Fixed
from searchspace.fields import entries, paths
from searchspace.necks.growth import Extend

DRAWS = 40
EVERY = 800
"""Draws by which every option of a space was drawn, in a configuration that was not refused."""

ALIKE = {"detector.neck.ssd.deconvolution.pairs.transposed"}
"""Where a fusion has a single transposed convolution, two of the options are one."""

STRIDES = "detector.backbone.mobilenet_v1.eliminated_strides"
PRUNING = "compress.pruning"

SPACES = ["TrialConfig", *space_names()]
SAMPLERS: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
    "random": lambda: optuna.samplers.RandomSampler(seed=1),
    "tpe": lambda: optuna.samplers.TPESampler(
        seed=2, multivariate=True, group=True, n_startup_trials=10
    ),
    "nsgaii": lambda: optuna.samplers.NSGAIISampler(seed=3, population_size=10),
}


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """Optuna warns of values that its storages cannot keep."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def domains_of(space: str) -> Mapping[str, Domain]:
    return load_space(space).domains if space in space_names() else {}


def drawn(
    domains: Mapping[str, Domain], sampler: optuna.samplers.BaseSampler, draws: int = DRAWS
) -> Iterator[tuple[TrialConfig, dict[str, object]]]:
    """Configurations and their parameters, as a study of two objectives proposes them.

    What does not go together is told as pruned, as a search tells it.
    """
    study = optuna.create_study(directions=["maximize", "maximize"], sampler=sampler)
    for _ in range(draws):
        trial = study.ask()
        try:
            config = suggest(trial, TrialConfig, domains)
        except ValidationError:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        yield config, trial.params
        area = config.detector.input_size**2 * config.detector.width
        study.tell(trial, [area, -area + len(trial.params)])


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("space", SPACES)
def test_parameters_and_configurations_are_one_thing(space: str, sampler: str) -> None:
    domains = domains_of(space)
    digests = set()
    for config, params in drawn(domains, SAMPLERS[sampler]()):
        back = to_params(config, domains)
        assert {path for path in params | back if params.get(path) != back.get(path)} <= ALIKE
        assert suggest(FixedTrial(back), TrialConfig, domains) == config
        assert suggest(FixedTrial(params), TrialConfig, domains) == config
        assert project(config, domains) == config
        assert TrialConfig.model_validate_json(config.model_dump_json()) == config
        assert TrialConfig.model_validate(json.loads(config.model_dump_json())) == config
        digests.add(config.digest())
    assert len(digests) > DRAWS // 2


@pytest.mark.parametrize("space", SPACES)
def test_parameters_of_a_kind_exist_only_under_it(space: str) -> None:
    seen = set()
    for config, params in drawn(domains_of(space), SAMPLERS["random"]()):
        kind = config.compress.pruning.kind
        seen.add(kind)
        below = {p.split(".")[2] for p in params if p.startswith(f"{PRUNING}.")} - {"kind"}
        assert below == ({kind} if kind != "none" else set())
        assert params[f"{PRUNING}.kind"] == kind
    assert "none" in seen
    assert len(seen) > 1


@pytest.mark.slow
@pytest.mark.parametrize("space", SPACES)
def test_a_search_draws_every_path_and_every_option(space: str) -> None:
    domains = domains_of(space)
    seen: dict[str, set[object]] = {}
    for _, params in drawn(domains, SAMPLERS["random"](), draws=EVERY):
        for path, param in params.items():
            seen.setdefault(path, set()).add(param)
    searched = dict(Space(space, domains).searched())
    assert seen.keys() == searched.keys()
    for path, domain in searched.items():
        if isinstance(domain, Choice):
            assert seen[path] == {domain.param(option) for option in domain.options}


def test_tuples_are_json_text_in_the_parameters() -> None:
    params = to_params(papers["ssdmnetv1_s1l6"].trial, fixed_to_papers())
    assert params[STRIDES] == "[6]"


def fixed_to_papers() -> dict[str, Domain]:
    """Domains that let the papers' values of unsearched and listed fields through."""
    trial = papers["ssdmnetv1_s1l6"].trial
    domains: dict[str, Domain] = {"detector.head.multibox.priors.kind": Choice("listed", "scaled")}
    listed = trial.detector.head.priors
    for name in ("sizes", "steps", "ratios"):
        path = f"detector.head.multibox.priors.listed.{name}"
        domains[path] = Choice(getattr(listed, name))
    for field in ("nms_iou", "candidates", "class_candidates"):
        value = getattr(trial.detector.head.postprocess, field)
        domains[f"detector.head.multibox.postprocess.{field}"] = Fixed(value)
    for field in ("photometric", "zoom_out", "crop"):
        domains[f"train.augment.{field}"] = Choice(getattr(trial.train.augment, field))
    domains["train.weights"] = Choice(trial.train.weights)
    return domains


def test_parameters_survive_a_journal(tmp_path: Path) -> None:
    def storage() -> optuna.storages.JournalStorage:
        backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal"))
        return optuna.storages.JournalStorage(backend)

    study = optuna.create_study(
        storage=storage(), study_name="s", sampler=optuna.samplers.RandomSampler(seed=4)
    )
    configs = []
    for number in range(15):
        trial = study.ask()
        configs.append(suggest(trial, TrialConfig))
        study.tell(trial, number)
    stored = optuna.load_study(storage=storage(), study_name="s").get_trials()
    assert [suggest(FixedTrial(t.params), TrialConfig) for t in stored] == configs


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", papers)
def test_the_papers_systems_are_projected_into_the_space(space: str, name: str) -> None:
    domains = domains_of(space)
    try:
        config = project(papers[name].trial, domains)
    except ValidationError:
        assert name not in Space(space, domains).papers()
        return
    params = to_params(config, domains)
    assert suggest(FixedTrial(params), TrialConfig, domains) == config
    before, after = papers[name].trial.detector.backbone, config.detector.backbone
    searched = dict(Space(space, domains).searched())
    kinds = searched.get("detector.backbone.kind", Choice("mobilenet_v1")).options
    assert after.kind == (before.kind if before.kind in kinds else kinds[0])
    strides = searched[f"detector.backbone.{after.kind}.eliminated_strides"].options
    if before.kind == after.kind and before.eliminated_strides in strides:
        assert after.eliminated_strides == before.eliminated_strides


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", 1),
        ("train.epochs", 7),
        ("train.small_objects.weight", 5.0),
        ("train.small_objects.offset", 0.05),
        ("train.small_objects.by", "input"),
        ("train.copy_paste.copies", 1),
        ("detector.num_classes", 3),
        ("detector.width", 0.3),
        ("detector.neck", ()),
        ("detector.neck", (Extend(norm=False).model_dump(),)),
        ("detector.head.priors", {"kind": "listed"}),
        ("detector.head.priors.cells", 9.0),
        ("compress.pruning", {"kind": "slimming", "ratio": 0.9}),
    ],
)
def test_outside_space_names_the_path(path: str, value: object) -> None:
    domains = {"train.copy_paste.copies": Choice(0, 2)}
    inside = project(TrialConfig(), domains)
    tree = inside.model_dump()
    owner = tree
    *parents, last = path.split(".")
    for name in parents:
        owner = owner[name]
    owner[last] = value
    if path == "detector.neck":
        tree["detector"]["head"]["priors"] = {"kind": "scaled"}
    outside = TrialConfig.model_validate(tree)
    with pytest.raises(OutsideSpace) as caught:
        to_params(outside, domains)
    message = str(caught.value)
    for name in path.split("."):
        assert name in message
    if value == ():
        assert "not one of the kinds ssd" in message
    elif isinstance(value, tuple):
        assert "detector.neck.ssd.l2norm = False" in message
    else:
        shown = value if not isinstance(value, dict) else value.get("ratio", value["kind"])
        assert repr(shown) in message


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        ({"sede": 1}, "sede"),
        ({"detector": {"inputsize": 300}}, "detector.inputsize"),
        ({"train": {"augment": {"flips": 1}}}, "train.augment.flips"),
        ({"compress": {"pruning": {"kind": "none", "ratio": 0.5}}}, "compress.pruning.none.ratio"),
        (
            {"detector": {"backbone": {"kind": "vgg16", "strides": [6]}}},
            "detector.backbone.vgg16.strides",
        ),
    ],
)
def test_unknown_fields_are_errors(tree: dict[str, object], path: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TrialConfig.model_validate(tree)
    assert path in str(caught.value)


def test_configurations_are_values() -> None:
    config = TrialConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 1
    assert config.digest() == TrialConfig().digest() != TrialConfig(seed=1).digest()
    assert len(config.digest()) == 16
    assert int(config.digest(), 16) >= 0


def test_the_kind_decides_the_member() -> None:
    assert isinstance(
        CompressConfig.model_validate({"pruning": {"kind": "none"}}).pruning, Unpruned
    )
    pruned = CompressConfig.model_validate({"pruning": {"kind": "slimming", "ratio": 0.4}})
    assert pruned.pruning == Slimming(ratio=0.4)
    with pytest.raises(ValidationError, match="kind"):
        CompressConfig.model_validate({"pruning": {"kind": "lottery"}})


def test_paths_are_unique_and_hold_all_that_is_searched() -> None:
    every = list(paths(TrialConfig))
    assert len(every) == len(set(every))
    params = to_params(project(TrialConfig(compress=CompressConfig(pruning=Slimming())), {}))
    assert params.keys() <= set(every)
    assert [e.name for e in entries(TrialConfig, {}, "")] == list(TrialConfig.model_fields)


def test_a_changed_configuration_is_checked_again() -> None:
    stock = TrialConfig()
    assert stock.changed() == stock
    assert stock.changed(seed=3).seed == 3
    with pytest.raises(ValidationError, match="seed"):
        stock.changed(seed=-1)
    with pytest.raises(ValidationError, match="sead"):
        stock.changed(sead=1)
