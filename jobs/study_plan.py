"""From a study file to its runs: every variant with every seed, and the data sets that they share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jobs._run_folder import RunFolder, differences, identity_hash
from jobs.configs import Recipe
from jobs.run import refuse_folder_elsewhere
from jobs.stages import STAGES
from jobs.study_config import TRUNK, StudiedStage, StudyConfig
from pipeline.config import load_config, to_json
from pipeline.data.place import absolute
from pipeline.errors import ConfigError, KindredError, Problems

_BRANCH_SECTIONS = {
    "probe": {"probe", "regression", "multi_label", "sequence", "evaluate", "handmade", "subsets", "finetune"},
    "finetune": {"finetune"},
}
"""Stage that variants branch at -> sections of the recipe that the stages before it do not read."""


@dataclass(frozen=True)
class Ingestion:
    """A data set that is made once: its recipe with these overrides, in a folder of its own."""

    overrides: tuple[str, ...]
    recipe: Recipe


@dataclass(frozen=True)
class StudiedRun:
    """One variant with one seed, or the trunk that all variants of a seed branch from.

    ingestion: where its data comes from; None where the recipe names ingested data. trunk: where its weights come from;
    None where it does all stages itself.
    """

    variant: str
    seed: int
    stages: tuple[StudiedStage, ...]
    overrides: tuple[str, ...]
    recipe: Recipe
    ingestion: Ingestion | None
    trunk: "StudiedRun | None" = None

    @property
    def name(self) -> str:
        """Of its folder and its MLflow run."""
        return self.recipe.folder.name


@dataclass(frozen=True)
class Study:
    """A study with all its runs, seed by seed; the first variant is what the others are compared with."""

    config: StudyConfig
    recipe_path: Path
    runs: tuple[StudiedRun, ...]

    @property
    def folder(self) -> Path:
        """Where everything is."""
        return folder_of(self.config)

    def ingestions(self) -> list[Ingestion]:
        """The data sets to make, each once."""
        return list(ingestions_of(self.runs).values())

    @property
    def trunks(self) -> list[StudiedRun]:
        """What variants have in common, a run of each seed; none where each variant does all stages."""
        return list({run.trunk.name: run.trunk for run in self.runs if run.trunk is not None}.values())


def ingestions_of(runs: Sequence[StudiedRun]) -> dict[Path, Ingestion]:
    """The data sets that runs need, by folder."""
    return {run.ingestion.recipe.folder: run.ingestion for run in runs if run.ingestion is not None}


def folder_of(config: StudyConfig) -> Path:
    """The folder of a study."""
    return Path(config.out or f"runs/{config.name}")


def load_study(path: Path, overrides: Sequence[str] = ()) -> Study:
    """Read a study file. An override of a key that the study has changes the study, any other the recipe of every run.

    Raises ConfigError or Problems for what is wrong with the study or with the recipe of any variant.
    """
    own = [text for text in overrides if text.partition("=")[0].split(".")[0] in StudyConfig.model_fields]
    refuse_folder_elsewhere(path, own)
    config = load_config(StudyConfig, path, own)
    return plan_study(config, path.parent / config.recipe, [text for text in overrides if text not in own])


def plan_study(config: StudyConfig, recipe_path: Path, overrides: Sequence[str] = ()) -> Study:
    """The runs of a study of the recipe at `recipe_path`; overrides: of every recipe, after all others.

    Raises Problems that name the variants whose recipes are wrong.
    """
    base = load_config(Recipe, recipe_path, [*config.overrides, *overrides])
    shared = f"tracking.experiment={base.tracking.experiment or base.name}"  # MLflow nests runs of one experiment only
    trunks = _trunks(config, recipe_path, (*config.overrides, *overrides, shared))
    runs: list[StudiedRun] = []
    problems: list[KindredError] = []
    for variant, own in config.all_variants().items():
        given = (*config.overrides, *own, *overrides, shared)
        try:
            own_runs = _runs(config, recipe_path, variant, given)
            runs += [_branched(run, trunks[run.seed], config, recipe_path) for run in own_runs] if trunks else own_runs
        except Problems as error:
            problems += [_named(variant, problem) for problem in error.problems]
        except ConfigError as error:
            problems.append(_named(variant, error))
    if problems:
        raise Problems(problems)
    return Study(config, recipe_path, tuple(sorted(runs, key=lambda run: config.seeds.index(run.seed))))


def _trunks(config: StudyConfig, recipe_path: Path, overrides: tuple[str, ...]) -> dict[int, StudiedRun]:
    """By seed."""
    if config.branch_at is None:
        return {}
    runs = _runs(config, recipe_path, TRUNK, (*overrides, "pretrained=null"))
    return {run.seed: replace(run, stages=config.trunk_stages) for run in runs}


def _branched(run: StudiedRun, trunk: StudiedRun, config: StudyConfig, recipe_path: Path) -> StudiedRun:
    """A run that goes on from a trunk. Raises ConfigError where the trunk would not be its own."""
    branches = _BRANCH_SECTIONS[str(config.branch_at)]
    own, common = (
        {key: value for key, value in to_json(each.recipe).items() if key not in {*branches, "out"}}
        for each in (run, trunk)
    )
    if changed := differences(common, own):
        raise ConfigError(
            f"it changes what all variants have in common: {'; '.join(changed[:4])}",
            code="CONFIG_VALUE",
            field=changed[0].partition(":")[0],
            expected=f"changes below {', '.join(sorted(branches))}",
            fix=f"leave branch_at={config.branch_at} out of the study: each run then pretrains itself",
        )
    overrides = (*run.overrides, f"pretrained={trunk.recipe.folder.resolve()}")
    return replace(run, overrides=overrides, recipe=load_config(Recipe, recipe_path, overrides), trunk=trunk)


def _runs(config: StudyConfig, recipe_path: Path, variant: str, overrides: tuple[str, ...]) -> list[StudiedRun]:
    folder = folder_of(config)
    recipe = load_config(Recipe, recipe_path, overrides)
    if config.at_once > 1 and recipe.pretrain.workers > 0:
        raise ConfigError(
            "runs beside each other train in one process each",
            code="CONFIG_VALUE",
            field="pretrain.workers",
            expected=0,
            got=recipe.pretrain.workers,
            fix="add pretrain.workers=0, which gives the same weights, or at_once=1",
        )
    ingestion = _ingestion(recipe, recipe_path, folder, overrides)
    data = [] if ingestion is None else [f"data.path={absolute(ingestion.recipe.place)}"]
    runs = []
    for seed in config.seeds:
        given = (*overrides, *data, f"seed={seed}", f"out={folder / f'{variant}-seed{seed}'}")
        found = load_config(Recipe, recipe_path, given)
        runs.append(StudiedRun(variant, seed, config.stages_of(variant), given, found, ingestion))
    return runs


def _ingestion(recipe: Recipe, recipe_path: Path, folder: Path, overrides: tuple[str, ...]) -> Ingestion | None:
    if recipe.data.ingest is None:
        return None
    identity = STAGES["ingest"].identity(recipe, RunFolder(folder))
    given = (*overrides, f"out={folder / f'ingest-{identity_hash(identity)[:8]}'}")
    return Ingestion(given, load_config(Recipe, recipe_path, given))


def _named(variant: str, problem: KindredError) -> ConfigError:
    record = problem.record()
    message = f"variant {variant}: {record.pop('message')}"
    return ConfigError(message, **record)  # pyright: ignore[reportArgumentType] - fields of the same class
