"""The stages of a recipe: what identifies each, and what it does."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import JsonValue

from jobs._console import Console
from jobs._dataset_summary import check_columns, show_dataset
from jobs._run_folder import RunFolder, numbers, write_recipe
from jobs._trained_shards import keep_shards, refuse_other_shards
from jobs._trained_streams import keep_streams
from jobs.assemble import open_datasets, pretrain_identity, source_of
from jobs.configs import Recipe
from jobs.data_config import REMOTE_KEYS
from jobs.ingest import ingest_recipe
from jobs.pretrain import pretrain
from pipeline.config import to_json
from pipeline.data.index import load_index
from pipeline.data.manifest import load_manifest
from pipeline.data.place import absolute
from pipeline.errors import OutputError
from pipeline.tracking import Spool, history, read_spool
from pipeline.train.health import collapse_alarms

Result = dict[str, JsonValue]


@dataclass(frozen=True)
class Context:
    """What a stage gets: the recipe, its folder, its own spool, and the spool of the whole run."""

    recipe: Recipe
    folder: RunFolder
    spool: Spool
    run: Spool


@dataclass(frozen=True)
class Stage:
    """identity: what must be equal for two results to be the same; body: does the work, returns result and metrics."""

    identity: Callable[[Recipe, RunFolder], Result]
    body: Callable[[Context], Result]


def _section(recipe: Recipe, *names: str) -> Result:
    document = to_json(recipe)
    return {name: document[name] for name in names}


def _ingest_identity(recipe: Recipe, folder: RunFolder) -> Result:
    section = to_json(recipe.data)
    return {"data": {key: value for key, value in section.items() if key not in REMOTE_KEYS | {"workers"}}}


def _ingest(context: Context) -> Result:
    manifest = ingest_recipe(context.recipe)
    place = str(absolute(context.recipe.place))
    context.spool.dataset(name=manifest.name, digest=manifest.sha256, source=place)
    index = load_index(source_of(context.recipe).folder, manifest)
    check_columns(context.recipe, manifest, index)
    show_dataset(context.recipe, manifest, index, Console())
    metrics: Result = {"data/num_samples": manifest.num_samples, "data/num_shards": len(manifest.shards)}
    return {"manifest": manifest.sha256, "path": place, "metrics": metrics}


def _pretrain_identity(recipe: Recipe, folder: RunFolder) -> Result:
    manifests = [load_manifest(source_of(recipe, place).folder) for place in recipe.places()]
    refuse_other_shards(folder.path / "pretrain", manifests)
    return pretrain_identity(recipe, manifests)


def _pretrain(context: Context) -> Result:
    recipe, folder = context.recipe, context.folder
    write_recipe(folder.stage("pretrain"), to_json(recipe.absolute()))
    datasets = open_datasets(recipe, recipe.place)
    dataset = datasets[0]
    keep_shards(folder.stage("pretrain"), [each.manifest for each in datasets])
    keep_streams(folder.stage("pretrain"), dataset)
    check_columns(recipe, dataset.manifest, dataset.index)
    context.spool.dataset(name=dataset.manifest.name, digest=dataset.manifest.sha256, source=str(dataset.source))
    result = pretrain(recipe, datasets, folder.stage("pretrain"))
    records, _ = read_spool(context.spool.path)
    last: Result = {name: points[-1][1] for name, points in history(records).items() if name.startswith("pretrain/")}
    for alarm in collapse_alarms(numbers(last)):
        Console().line(f"warning: {alarm}")
    metrics = {**last, "throughput/samples_per_s": result.samples_per_s, "throughput/wait_share": result.wait_share}
    return {**dataclasses.asdict(result), "metrics": metrics}


def _downstream_identity(*sections: str) -> Callable[[Recipe, RunFolder], Result]:
    def identity(recipe: Recipe, folder: RunFolder) -> Result:
        from jobs.pretrained import pretraining_of

        pretrained = pretraining_of(recipe, folder).result("pretrain")
        if pretrained is None:
            raise OutputError(
                f"{folder.path} holds no finished pretraining",
                code="OUT_NO_PRETRAIN",
                fix="run `kindred pretrain` first",
            )
        manifest = load_manifest(source_of(recipe).folder).sha256
        chosen = _section(recipe, "seed", "label", "subject", "leak", *sections)
        sequence = recipe.sequence if "probe" in sections else None
        asked = {"regression": recipe.regression, "multi_label": recipe.multi_label, "sequence": sequence}
        chosen |= _section(recipe, *(name for name, section in asked.items() if section is not None))
        if recipe.pretrained_streams:
            chosen["pretrained_streams"] = {**recipe.pretrained_streams}
        return {"state_hash": pretrained["state_hash"], "manifest": manifest, **chosen}

    return identity


def _probe(context: Context) -> Result:
    from jobs.probe import probe

    return probe(context)


def _evaluate(context: Context) -> Result:
    from jobs.evaluate import evaluate

    found = evaluate(context)
    context.folder.reopen("report")  # it shows what was found
    return found


def _finetune(context: Context) -> Result:
    from jobs.finetune import finetune

    return finetune(context)


def _relations_identity(recipe: Recipe, folder: RunFolder) -> Result:
    from jobs.relations import relations_identity

    return relations_identity(recipe, folder)


def _relations(context: Context) -> Result:
    from jobs.relations import report_relations

    return report_relations(context)


def _report(context: Context) -> Result:
    from jobs.report import report

    return report(context)


STAGES: dict[str, Stage] = {
    "ingest": Stage(_ingest_identity, _ingest),
    "relations": Stage(_relations_identity, _relations),
    "pretrain": Stage(_pretrain_identity, _pretrain),
    "probe": Stage(_downstream_identity("probe", "subsets", "handmade", "relations"), _probe),
    "evaluate": Stage(_downstream_identity("probe", "subsets", "handmade", "relations", "evaluate"), _evaluate),
    "finetune": Stage(_downstream_identity("finetune"), _finetune),
    "report": Stage(_downstream_identity("probe", "subsets", "finetune", "description", "relations"), _report),
}
