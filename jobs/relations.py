"""kindred relations: what the relations between training samples encode, before anything is trained on them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field, JsonValue

from jobs._console import Console
from jobs._provenance import provenance
from jobs._relation_table import show_relations
from jobs._run_folder import RunFolder, identity_hash, numbers, write_json
from jobs._tracking import RunIdentity, Tracking, tracked
from jobs.assemble import source_of
from jobs.configs import Recipe
from jobs.run import run_recipe
from jobs.stages import Context
from jobs.tracking_config import TrackingConfig
from modalities.spec import Config
from pipeline.config import build_config, to_json
from pipeline.data.index import load_index
from pipeline.data.manifest import Manifest, load_manifest
from pipeline.data.rows import rows_of
from pipeline.errors import ConfigError, DataError, KindredError, Problems
from pipeline.relations.build import build_relation
from pipeline.relations.config import AnyRelation
from pipeline.relations.defaults import default_relations
from pipeline.relations.edge_rows import edge_file_hashes
from pipeline.relations.report import relation_report
from pipeline.relations.samples import Samples

Result = dict[str, JsonValue]
STAGE = "relations"


class DatasetRelations(Config):
    """What may follow a data set folder on the command line."""

    out: str | None = None
    """Run folder; None means `runs/<data set folder>-relations`."""
    root: str = "."
    """Folder where relative paths of edge files start."""
    relations: dict[str, AnyRelation] = Field(default_factory=dict)
    """Relations by name; none means equal values of every group column, and closeness in time where times are known."""
    tracking: TrackingConfig = TrackingConfig()
    """Where metrics go."""


def relations(place: Path, overrides: Sequence[str], *, fork: str | None = None) -> Result:
    """Report on the relations of a recipe, or of an ingested data set folder. Returns what `result.json` holds.

    A run folder keeps one report: other relations go to another folder (`out`, `--fork`). Raises ConfigError,
    DataError, or Problems that name what is wrong with any of the relations.
    """
    return _of_dataset(place, overrides, fork) if place.is_dir() else _of_recipe(place, overrides, fork)


def report_relations(context: Context) -> Result:
    """The stage of a recipe."""
    recipe = context.recipe
    folder = _dataset_folder(recipe)
    manifest = load_manifest(folder)
    context.spool.dataset(name=manifest.name, digest=manifest.sha256, source=str(recipe.place))
    return _reports(recipe.relations, folder, manifest, root=_root(recipe))


def relations_identity(recipe: Recipe, folder: RunFolder) -> Result:
    """Data, relations and the bytes of their edge files."""
    return _identity(recipe.relations, load_manifest(_dataset_folder(recipe)), _root(recipe))


def _of_recipe(path: Path, overrides: Sequence[str], fork: str | None) -> Result:
    result = run_recipe(path, overrides, fork=fork, stages=(STAGE,))
    stages = result["stages"]
    _show(stages[STAGE] if isinstance(stages, dict) else None, str(result["name"]))
    return result


def _of_dataset(place: Path, overrides: Sequence[str], fork: str | None) -> Result:
    config = build_config(DatasetRelations, {}, overrides)
    name = f"{place.resolve().name}-relations"
    out = Path(config.out or f"runs/{name}")
    folder = RunFolder(out if fork is None else out.with_name(f"{out.name}-{fork}"))
    manifest = load_manifest(place)
    identity = _identity(config.relations, manifest, Path(config.root))
    with folder.locked():
        folder.claim(STAGE, identity)
        if folder.result(STAGE) is None:
            _run_tracked(config, place, manifest, folder, identity_hash(identity))
        found = folder.result(STAGE) or {}
        ids = Tracking(folder.path).run_ids()
        result: Result = {"status": "finished", "out": str(folder.path), **found, "mlflow": ids}
        write_json(folder.path / "result.json", result)
    _show(result, name)
    return result


def _run_tracked(config: DatasetRelations, place: Path, manifest: Manifest, folder: RunFolder, key: str) -> None:
    result = _reports(config.relations, place, manifest, root=Path(config.root))
    metrics = result["metrics"]
    run = RunIdentity(config.tracking.experiment or manifest.name, folder.path.name, key, provenance())
    with (
        tracked(folder.path, run, uri=config.tracking.uri, required=config.tracking.required) as tracking,
        tracking.stage(STAGE, job_key=key) as spool,
    ):
        spool.dataset(name=manifest.name, digest=manifest.sha256, source=str(place))
        spool.metrics(numbers(metrics if isinstance(metrics, dict) else {}), step=0)
    folder.finish(STAGE, result)


def _reports(configs: Mapping[str, AnyRelation], folder: Path, manifest: Manifest, *, root: Path) -> Result:
    """One report per relation. Raises Problems with those of every relation that cannot be built."""
    index = load_index(folder, manifest)
    rows = rows_of(index.rows("train"))
    configs = configs or default_relations(Samples("default", index, rows))
    if not configs:
        raise DataError(
            "the data set has neither groups nor times to relate samples by",
            code="DATA_RELATIONS",
            fix="declare relations, or ingest with groups or start times",
        )
    problems: list[KindredError] = []
    reports, metrics = dict[str, JsonValue](), dict[str, JsonValue]()
    for name, config in configs.items():
        try:
            built = build_relation(name, config, index, rows, folder=root, class_names=manifest.labels)
        except KindredError as error:
            problems += error.problems if isinstance(error, Problems) else [error]
            continue
        report = relation_report(config, built, Samples(name, index, rows))
        reports[name] = report.to_json()
        metrics |= report.metrics()
    if problems:
        raise problems[0] if len(problems) == 1 else Problems(problems)
    declared: Result = {name: to_json(config) for name, config in configs.items()}
    return {"manifest": manifest.sha256, "declared": declared, "relations": reports, "metrics": metrics}


def _identity(configs: Mapping[str, AnyRelation], manifest: Manifest, root: Path) -> Result:
    files: Result = {**edge_file_hashes(configs, root)}
    declared: Result = {name: to_json(config) for name, config in configs.items()}
    return {"manifest": manifest.sha256, "relations": declared, "files": files}


def _dataset_folder(recipe: Recipe) -> Path:
    if recipe.data.mix is not None:
        raise ConfigError(
            "relations link samples of one data set",
            code="CONFIG_VALUE",
            field="data.mix",
            fix="give the folder of one of its data sets: kindred relations FOLDER",
        )
    return source_of(recipe).folder


def _root(recipe: Recipe) -> Path:
    return Path(recipe.data.root or ".")


def _show(result: JsonValue, name: str) -> None:
    found = result["relations"] if isinstance(result, dict) else None
    if isinstance(found, dict):
        show_relations(Console(), found, title=f"{name}: relations of the pretraining split, consistency (chance)")
