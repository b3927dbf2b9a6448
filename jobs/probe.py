"""Probe stage: frozen features, read by linear and kNN probes, beside controls under the same protocol."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from jobs._console import Console
from jobs._dataset_summary import check_columns
from jobs._run_folder import RunFolder, write_json
from jobs.assemble import Dataset, open_dataset, source_of
from jobs.configs import Recipe
from jobs.frozen import (
    FrozenEncoders,
    encoded_features,
    encoders_of,
    handmade_features,
    mini_rocket_features,
)
from jobs.leak_audit import audit_near_copies, audit_pretraining, audit_splits, audit_texts, warn_of_metadata
from jobs.pretrained import pretrained_encoders, pretraining_of
from jobs.probe_figures import (
    classes_of,
    probe_figures,
    probe_task,
    pseudo_label_study,
    pseudo_labels_of,
    pseudo_labels_path,
)
from jobs.stages import Context
from jobs.step_tables import write_step_tables
from jobs.stored_tables import TABLES, recorded_makers, recorded_step_makers
from jobs.transfer import transfer
from pipeline.evaluate.cluster_study import ClusterStudy
from pipeline.evaluate.features import Features
from pipeline.evaluate.fusion import fuse
from pipeline.evaluate.probe import ProbeRow, ProbeTask
from pipeline.evaluate.probe_config import Method
from pipeline.evaluate.pseudo_labels import PseudoLabels
from pipeline.evaluate.sample_scores import SAMPLE_SCORES_NAME, sample_scores, write_sample_scores

MAP_SAMPLES = 1000
_MAP_LEAST = 10  # samples below which a neighbourhood means nothing
_NOTHING = "the recipe has no label"
_PROBES: dict[Method, str] = {"linear": "Linear probe", "knn": "kNN probe"}
Rows = NDArray[np.int64]
Matrix = NDArray[np.float32]
Result = dict[str, JsonValue]


def probe(context: Context) -> Result:
    """Metrics of every subset, method and label fraction, for the trained encoders and the controls.

    And what pseudo-labels follow, where the pretraining had any; that needs no label.
    """
    recipe = context.recipe
    if not recipe.is_probed and not pseudo_labels_path(context.folder).exists():
        return {"skipped": _NOTHING, "metrics": {}}
    torch.set_num_threads(max(1, recipe.pretrain.threads * recipe.pretrain.workers))
    dataset = open_dataset(source_of(recipe), recipe.aliases)
    check_columns(recipe, dataset.manifest, dataset.index)
    if not recipe.is_probed:
        return _without_label(context, dataset)
    audit_splits(recipe, dataset)
    unchecked = audit_pretraining(recipe, dataset, pretraining_of(recipe, context.folder))
    moved = transfer(recipe, context.folder, dataset)
    moved.show(Console())
    trained = FrozenEncoders(
        encoders_of(recipe, moved.dataset, pretrained_encoders(recipe, context.folder)), moved.dataset
    )
    untrained = FrozenEncoders(encoders_of(recipe, dataset, None), dataset)
    tables = _tables(recipe, context.folder, trained=trained, untrained=untrained)
    steps = write_step_tables(recipe, context.folder, trained=trained, untrained=untrained)
    audit_near_copies(recipe, dataset, tables["features"])
    task = None if recipe.label is None else probe_task(recipe, dataset)
    if task is not None:
        audit_texts(recipe, dataset, task, tables["features"])
    figures = probe_figures(recipe, dataset, context.folder, tables, steps)
    of_label: Result = {}
    drawn: Result = {}
    if task is not None:
        scores = sample_scores(figures.rows, task, dataset.index.key)
        write_sample_scores(scores, context.folder.stage("probe") / SAMPLE_SCORES_NAME)
        drawn = _drawn(recipe, dataset, task, figures.fused, figures.rows)
        of_label = {"chance": _chance(task), "classes": list(dataset.manifest.labels[str(recipe.label)])}
    _draw(context, dataset, figures.fused, figures.study, drawn=drawn)
    return {
        **of_label,
        "warnings": [
            *unchecked,
            *moved.warnings(),
            *warn_of_metadata(figures.rows),
            *figures.study.warnings(recipe.label),
        ],
        "gains": [gain.model_dump() for gain in figures.gains],
        "recovery": {name: {s: r.model_dump() for s, r in by.items()} for name, by in figures.recoveries.items()},
        "tables": recorded_makers(context.folder, tables),
        "step_tables": recorded_step_makers(steps),
        "channels": {name: {key: [*names] for key, names in found.items()} for name, found in moved.channels.items()},
        "metrics": {**figures.metrics()},
    }


def _without_label(context: Context, dataset: Dataset) -> Result:
    recipe, folder = context.recipe, context.folder.stage("probe")
    moved = transfer(recipe, context.folder, dataset).dataset
    trained = encoders_of(recipe, moved, pretrained_encoders(recipe, context.folder))
    table = encoded_features(trained, moved, path=folder / TABLES["probe"])
    fused = fuse(table, list(recipe.streams), train=dataset.index.rows("train"))
    study = pseudo_label_study(recipe, dataset, pseudo_labels_of(context.folder, dataset), fused)
    _draw(context, dataset, fused, study, drawn={})
    warnings, metrics = study.warnings(None), study.metrics()
    return {"skipped": _NOTHING, "warnings": [*warnings], "metrics": {**metrics}}


def _tables(
    recipe: Recipe, folder: RunFolder, *, trained: FrozenEncoders, untrained: FrozenEncoders
) -> dict[str, Features]:
    """Of encoders and controls; these read everything in the data set, as the untrained encoders do."""
    dataset, stage = untrained.dataset, folder.stage("probe")
    tables = {
        "probe": encoded_features(trained.encoders, trained.dataset, path=stage / TABLES["probe"]),
        "random_init": encoded_features(untrained.encoders, dataset, path=stage / TABLES["random_init"]),
        "features": handmade_features(recipe, dataset, path=stage / TABLES["features"]),
    }
    if (config := recipe.probe.mini_rocket) is not None:
        path = stage / TABLES["mini_rocket"]
        tables["mini_rocket"] = mini_rocket_features(recipe, dataset, config, tables["features"], path=path)
    return tables


def _chance(task: ProbeTask) -> float:
    labels = task.labels[task.test]
    return float(np.bincount(labels[labels >= 0]).max() / (labels >= 0).sum())


def _draw(context: Context, dataset: Dataset, fused: Matrix, study: ClusterStudy, *, drawn: Result) -> None:
    """Write what the report shows of the fused features (N, D), with the pseudo-labels where there are any."""
    found = pseudo_labels_of(context.folder, dataset)
    if found is not None:
        own = _pretraining_map(context.recipe, dataset, found, fused)
        drawn = {**drawn, "maps": [*_listed(drawn.get("maps")), own], "clusters": study.document()}
    write_json(context.folder.stage("probe") / "figures.json", drawn)


def _listed(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _drawn(recipe: Recipe, dataset: Dataset, task: ProbeTask, fused: Matrix, rows: list[ProbeRow]) -> Result:
    """A map of test samples and a confusion matrix."""
    names = list(dataset.manifest.labels[str(recipe.label)])
    shown = _some(recipe, task.labelled_test())
    groups = {str(recipe.label): [names[k] for k in task.labels[shown]]}
    groups |= {name: [str(value) for value in column[shown]] for name, column in dataset.index.groups.items()}
    method = "linear" if "linear" in recipe.probe.methods else recipe.probe.methods[0]
    best = next(
        r
        for r in rows
        if (r.source, r.subset, r.method) == ("probe", "fused", method)
        and r.percent == max(recipe.probe.label_percents)
    )
    return {
        "maps": [_map("Test samples, fused features", fused[shown], groups)],
        "confusions": [{"title": f"{_PROBES[method]}, fused", "counts": best.confusion.tolist(), "names": [*names]}],
    }


def _some(recipe: Recipe, idx: Rows) -> Rows:
    rng = np.random.default_rng(recipe.seed)
    return np.sort(rng.choice(idx, size=min(MAP_SAMPLES, len(idx)), replace=False))


def _map(title: str, x: Matrix, groups: Mapping[str, list[str]]) -> Result:
    xy = np.round(_two_dimensions(x), 3).tolist()
    return {"title": title, "xy": xy, "groups": {name: [*values] for name, values in groups.items()}}


def _pretraining_map(recipe: Recipe, dataset: Dataset, found: PseudoLabels, fused: Matrix) -> Result:
    """Test samples have no pseudo-label, so these have a map of their own, which says what it shows."""
    idx = _some(recipe, found.idx)
    at = np.searchsorted(found.idx, idx)
    classes, names = classes_of(recipe, dataset)
    groups = {} if recipe.label is None else {recipe.label: ["unlabelled" if k < 0 else names[k] for k in classes[idx]]}
    if recipe.subject is not None:
        groups[recipe.subject] = dataset.index.group(recipe.subject)[idx].tolist()
    for space, clusters in found.spaces.items():
        groups[f"pseudo-label {space}"] = ["none" if k < 0 else str(k) for k in clusters[at]]
    return _map("Training samples, which the encoders have seen, fused features", fused[idx], groups)


def _two_dimensions(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """t-SNE (van der Maaten and Hinton 2008) of the leading principal components; of too few samples these alone."""
    reduced = PCA(min(30, *x.shape), random_state=0).fit_transform(x)
    if len(x) < _MAP_LEAST:
        return np.pad(reduced[:, :2], ((0, 0), (0, max(0, 2 - reduced.shape[1]))))
    perplexity = min(30.0, max(2.0, (len(x) - 1) / 3))
    return TSNE(perplexity=perplexity, init="pca", random_state=0, n_jobs=1).fit_transform(reduced)
