"""From a study file to its runs: every variant with every seed, and the data sets that they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs._run_folder import RunFolder, identity_hash
from jobs.configs import Recipe
from jobs.run import refuse_folder_elsewhere
from jobs.stages import STAGES
from jobs.study_config import StudyConfig
from pipeline.config import load_config
from pipeline.data.place import absolute
from pipeline.errors import ConfigError, KindredError, Problems


@dataclass(frozen=True)
class Ingestion:
    """A data set that is made once: its recipe with these overrides, in a folder of its own."""

    overrides: tuple[str, ...]
    recipe: Recipe


@dataclass(frozen=True)
class StudiedRun:
    """One variant with one seed. ingestion: where its data comes from; None where the recipe names ingested data."""

    variant: str
    seed: int
    overrides: tuple[str, ...]
    recipe: Recipe
    ingestion: Ingestion | None

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
    runs: list[StudiedRun] = []
    problems: list[KindredError] = []
    for variant, own in config.all_variants().items():
        given = (*config.overrides, *own, *overrides, shared)
        try:
            runs += _runs(config, recipe_path, variant, given)
        except Problems as error:
            problems += [_named(variant, problem) for problem in error.problems]
        except ConfigError as error:
            problems.append(_named(variant, error))
    if problems:
        raise Problems(problems)
    return Study(config, recipe_path, tuple(sorted(runs, key=lambda run: config.seeds.index(run.seed))))


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
        runs.append(StudiedRun(variant, seed, given, load_config(Recipe, recipe_path, given), ingestion))
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
