"""Every shipped study, and the recipe of every variant: all that can be known without data."""

from pathlib import Path

import pytest

from jobs.configs import Recipe
from jobs.study_plan import StudiedRun, load_study
from pipeline.train.named_objectives import memory_source, name_objectives
from tests.contracts.head_examples import MEMBERS as HEADS
from tests.contracts.objective_examples import MEMBERS, REQUIRED

STUDIES = sorted((Path(__file__).parents[2] / "jobs" / "studies").glob("*.yaml"))
PLANNED = {path.stem: load_study(path) for path in STUDIES}
RUNS = [
    pytest.param(run, id=f"{name}-{run.variant}")
    for name, study in PLANNED.items()
    for run in study.runs
    if run.seed == study.config.seeds[0]
]


@pytest.mark.parametrize("name", PLANNED)
def test_study_is_called_as_its_file_and_says_what_it_asks(name: str) -> None:
    config = PLANNED[name].config

    assert config.name == name
    assert config.description
    assert len(config.seeds) >= 3


@pytest.mark.parametrize("run", RUNS)
def test_objectives_of_a_variant_have_what_they_need(run: StudiedRun) -> None:
    recipe = run.recipe
    named = name_objectives(recipe.objectives, list(recipe.streams))
    needs = frozenset[str]().union(*(objective.config.needs for objective in named))

    assert {objective.config.related for objective in named} - {None} <= recipe.relations.keys()
    if needs & {"mined", "clusters", "keys"}:
        source = memory_source(named, recipe.memory.source)
        assert [o.name for o in named if "keys" in o.config.needs and o is not source] == []
        assert recipe.memory.warmup_epochs < recipe.pretrain.epochs
    if "keys" in needs:
        assert recipe.memory.encoder_momentum is not None
    assert [o.name for o in named if o.config.needs_time and not _keeps_time(recipe, o.streams)] == []


def _keeps_time(recipe: Recipe, streams: tuple[str, ...]) -> bool:
    return all(transform.keeps_time for stream in streams for transform in recipe.streams[stream].augment)


@pytest.mark.parametrize("name", PLANNED)
def test_variants_of_a_study_are_different_runs(name: str) -> None:
    recipes = [run.recipe.model_copy(update={"out": None}) for run in PLANNED[name].runs]

    assert [number for number, recipe in enumerate(recipes) if recipe in recipes[:number]] == []


def test_the_families_are_complete() -> None:
    """An objective that one sensor stream is enough for belongs into the table of all families."""
    alone = {kind for m in MEMBERS if (kind := m.model_fields["kind"].default) and _least_streams(m) == 1}

    studied = {objective.kind for run in PLANNED["families_uci_har"].runs for objective in run.recipe.objectives}
    assert alone <= studied


@pytest.mark.parametrize("name", ["families_uci_har", "heads_uci_har"])
def test_results_stand_beside_the_network_from_scratch(name: str) -> None:
    """One a seed is enough: the control has the same batches, whatever it stands beside."""
    tuned = [run for run in PLANNED[name].runs if "finetune" in run.stages]
    beside = [run for run in tuned if run.recipe.finetune and run.recipe.finetune.supervised_control]

    assert [run.seed for run in beside] == [*PLANNED[name].config.seeds]


def test_the_heads_are_complete() -> None:
    """By the name of their variant."""
    runs = PLANNED["heads_uci_har"].runs
    studied = {run.variant: run.recipe.finetune and run.recipe.finetune.head.kind for run in runs}

    assert studied == {name: name for head in HEADS if (name := head.model_fields["kind"].default)}


def _least_streams(member: type) -> int:
    return member(**{name: REQUIRED[name] for name in member.model_fields.keys() & REQUIRED}).least_streams  # pyright: ignore
