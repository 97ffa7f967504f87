"""An option of a search is described once: keyword, command line, file and report follow."""

from __future__ import annotations

import json
from typing import Annotated

import pytest
import typer
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from launch.cli.from_fields import option_name, with_options
from launch.cli.search import search_command
from launch.constraints import Constraint
from launch.report.facts import study_facts
from launch.study.options import Option, options_of
from launch.study.search_settings import (
    HOMES,
    RESUMABLE,
    SearchSettings,
    changed,
    given_options,
    options_in,
)
from launch.study.settings import StudySettings
from launch.trial.errors import SettingsError
from searchspace import Space
from tests.launch.made_up import settings_for

FIELDS = {name: field for _, name, field in options_of(SearchSettings)}


def test_every_option_is_on_the_command_line_with_its_help() -> None:
    app = typer.Typer()
    app.command()(search_command)
    options = {option: p for p in typer.main.get_command(app).params for option in p.opts}
    for name, field in FIELDS.items():
        if name == "constraints":  # An option for each figure.
            continue
        option = options[option_name(name, field)]
        assert option.help.startswith(field.description), name
        assert field.description.endswith("."), name


def test_a_time_limit_is_given_in_minutes_or_hours() -> None:
    limits = [SearchSettings.of(**given).budget.time_limit for given in ({}, {"minutes": 90})]
    assert [*limits, SearchSettings.of(hours=1.5).budget.time_limit] == [None, 5400, 5400]
    with pytest.raises(SettingsError, match=r"^hours 2: there are minutes already"):
        SearchSettings.of(minutes=30, hours=2)
    app = typer.Typer()
    app.command()(search_command)
    result = CliRunner().invoke(app, ["--hours", "2", "--minutes", "30"], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "--hours: 2: there are minutes already" in result.output


def test_names_are_unique_and_lead_to_their_group() -> None:
    assert set(FIELDS) == set(HOMES)
    settings = SearchSettings.of(trials=8, ladder=(0.3,), seed=5)
    assert given_options(settings) == {"trials": 8, "ladder": (0.3,), "seed": 5}
    assert settings.budget.trials == options_in(settings)["trials"] == 8
    again = changed(settings, trials=9)
    assert given_options(again) == {"trials": 9, "ladder": (0.3,), "seed": 5}
    with pytest.raises(SettingsError, match=r"trails: .* the nearest one is trials"):
        changed(settings, trails=9)


def test_whoever_resumes_may_say_what_the_fields_allow() -> None:
    assert set(RESUMABLE) == {
        "trials", "trial_timeout", "cache_gb", "driver", "cpus_per_trial", "gpus_per_trial",
        "trials_per_gpu", "address", "track", "workers_per_trial", "memory_per_trial",
        "resources_per_trial", "max_concurrent", "storage",
    }  # fmt: skip


def test_a_study_stores_all_but_who_runs_it_and_shows_what_is_not_usual(space: Space) -> None:
    bounds = (Constraint(figure="fps", sense="min", bound=30),)
    asked = {"trials": 4, "minutes": 7.5, "papers": False, "constraints": bounds}
    settings = settings_for(space, **asked, driver="local", cpus_per_trial=2)
    stored = json.loads(settings.model_dump_json())
    assert stored["budget"]["minutes"] == 7.5
    assert stored["sampling"]["sampler"] == "tpe"
    assert set(stored["resources"]) == {"device", "measure_on"}
    read = StudySettings.model_validate(stored)
    assert options_in(read) == options_in(changed(settings, driver="ray", cpus_per_trial=None))
    facts = study_facts(settings, ())
    assert facts["Trials requested"] == "4"
    assert facts["Minutes at most"] == "7.5"
    assert facts["Papers"] == "no"
    assert facts["Constraints"] == "fps >= 30"
    assert {"Gate", "Pruning ladder", "Objectives", "Driver"} & set(facts) == set()


class Bake(BaseModel):
    """Options of a command that there is not."""

    degrees: int = Field(default=180, ge=50, le=250, description="Heat.")
    fan: bool = Field(default=False, description="With the fan.")
    glaze: bool = Field(default=True, description="With a glaze.")
    layers: Annotated[tuple[float, ...], Option(comma=True)] = Field(
        default=(), description="Heights."
    )
    filling: tuple[str, ...] = Field(default=(), description="What is in it.")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), {}),
        (("--degrees", "200", "--fan"), {"degrees": 200, "fan": True}),
        (("--no-glaze", "--layers", "1,2.5"), {"glaze": False, "layers": (1.0, 2.5)}),
        (("--filling", "jam", "--filling", "cream"), {"filling": ("jam", "cream")}),
        (("--degrees", "300"), "must be 250 or less"),
        (("--layers", "1,high"), "must be a number"),
    ],
)
def test_a_model_becomes_options_and_what_was_given_the_model(
    arguments: tuple[str, ...], expected: dict[str, object] | str
) -> None:
    baked: list[Bake] = []
    app = typer.Typer()

    @app.command()
    @with_options
    def bake(how: Bake) -> None:
        baked.append(how)

    answer = CliRunner().invoke(app, list(arguments))
    if isinstance(expected, str):
        assert (answer.exit_code, baked) == (2, [])
        assert expected in " ".join(answer.output.replace("│", " ").split())
    else:
        assert answer.exit_code == 0, answer.output
        assert {name: getattr(baked[0], name) for name in baked[0].model_fields_set} == expected
