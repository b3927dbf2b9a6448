"""Probe stage: frozen features, read by linear and kNN probes, beside controls under the same protocol."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from jobs._dataset_summary import check_columns
from jobs._run_folder import write_json
from jobs.assemble import Dataset, open_dataset, source_of
from jobs.configs import Recipe
from jobs.frozen import encoded_features, encoders_of, handmade_features
from jobs.leak_audit import audit_pretraining, audit_rows, audit_splits
from jobs.pretrained import pretrained_encoders, pretraining_of
from jobs.stages import Context
from jobs.surroundings import relations_of
from pipeline.evaluate.cluster_agreement import Column, group_column, label_column
from pipeline.evaluate.cluster_study import ClusterStudy, study_clusters
from pipeline.evaluate.controls import control_rows, metadata_rows, probe_rows
from pipeline.evaluate.features import Features
from pipeline.evaluate.fusion import fuse
from pipeline.evaluate.metadata import metadata_features
from pipeline.evaluate.probe import ProbeRow, ProbeTask
from pipeline.evaluate.pseudo_labels import PSEUDO_LABELS_NAME, PseudoLabels, read_pseudo_labels
from pipeline.evaluate.relation_recovery import Recoveries, recover, recovery_metrics
from pipeline.evaluate.sample_scores import SAMPLE_SCORES_NAME, sample_scores, write_sample_scores

MAP_SAMPLES = 1000
_MAP_LEAST = 10  # samples below which a neighbourhood means nothing
Rows = NDArray[np.int64]
Matrix = NDArray[np.float32]
Result = dict[str, JsonValue]


def probe(context: Context) -> Result:
    """Metrics of every subset, method and label fraction, for the trained encoders and the controls.

    And what pseudo-labels follow, where the pretraining had any; that needs no label.
    """
    recipe = context.recipe
    if recipe.label is None and not _pseudo_labels_path(context).exists():
        return {"skipped": "the recipe has no label", "metrics": {}}
    torch.set_num_threads(max(1, recipe.pretrain.threads * recipe.pretrain.workers))
    dataset = open_dataset(source_of(recipe))
    if recipe.label is None:
        return _without_label(context, dataset)
    audit_splits(recipe, dataset)
    unchecked = audit_pretraining(recipe, dataset, pretraining_of(recipe, context.folder))
    task = probe_task(recipe, dataset)
    tables = _tables(context, dataset, task)
    subsets, config = recipe.probed_subsets(), recipe.probe
    rows = probe_rows(tables["probe"], task, subsets, config=config, seed=recipe.seed)
    for name in ("random_init", "features"):
        rows += control_rows(name, tables[name], task, subsets, config=config, seed=recipe.seed)
    rows += _metadata(recipe, dataset, task)
    scores = sample_scores(rows, task, dataset.index.key)
    write_sample_scores(scores, context.folder.stage("probe") / SAMPLE_SCORES_NAME)
    fused = fuse(tables["probe"], list(recipe.streams), train=task.train)
    study = _draw(context, dataset, fused, drawn=_drawn(recipe, dataset, task, fused, rows))
    names = dataset.manifest.labels[recipe.label]
    metrics: Result = {name: value for row in rows for name, value in row.metrics().items()}
    recovered = _recovered(recipe, dataset, {name: tables[name] for name in ("probe", "random_init")})
    return {
        "chance": _chance(task),
        "classes": list(names),
        "warnings": [*unchecked, *audit_rows(recipe, dataset, rows), *study.warnings(recipe.label)],
        "recovery": {name: {s: r.model_dump() for s, r in by.items()} for name, by in recovered.items()},
        "metrics": {**metrics, **study.metrics(), **recovery_metrics(recovered)},
    }


def _recovered(recipe: Recipe, dataset: Dataset, tables: Mapping[str, Features]) -> Recoveries:
    """Relations of training samples, by the features that the encoders they were trained with give of them."""
    train, names = dataset.index.rows("train"), list(recipe.streams)
    relations = relations_of(recipe, dataset.index, dataset.manifest.labels, list(recipe.relations))
    return recover(relations, {source: fuse(table, names, train=train)[train] for source, table in tables.items()})


def _without_label(context: Context, dataset: Dataset) -> Result:
    recipe, folder = context.recipe, context.folder.stage("probe")
    trained = encoders_of(recipe, dataset, pretrained_encoders(recipe, context.folder))
    table = encoded_features(trained, dataset, path=folder / "features.parquet")
    fused = fuse(table, list(recipe.streams), train=dataset.index.rows("train"))
    study = _draw(context, dataset, fused, drawn={})
    warnings, metrics = study.warnings(None), study.metrics()
    return {"skipped": "the recipe has no label", "warnings": [*warnings], "metrics": {**metrics}}


def probe_task(recipe: Recipe, dataset: Dataset) -> ProbeTask:
    """Labels, and the groups that validation holds out (every sample its own where the recipe names no subject)."""
    index, label = dataset.index, str(recipe.label)
    check_columns(recipe, dataset.manifest, index)
    groups = index.key if recipe.subject is None else index.group(recipe.subject)
    return ProbeTask(
        labels=index.labels(label),
        groups=groups.astype(str),
        train=index.rows("train"),
        test=index.rows("test"),
        num_classes=len(dataset.manifest.labels[label]),
    )


def _tables(context: Context, dataset: Dataset, task: ProbeTask) -> dict[str, Features]:
    recipe, folder = context.recipe, context.folder.stage("probe")
    trained = encoders_of(recipe, dataset, pretrained_encoders(recipe, context.folder))
    untrained = encoders_of(recipe, dataset, None)
    return {
        "probe": encoded_features(trained, dataset, path=folder / "features.parquet"),
        "random_init": encoded_features(untrained, dataset, path=folder / "random_init.parquet"),
        "features": handmade_features(recipe, dataset, train=task.train),
    }


def _metadata(recipe: Recipe, dataset: Dataset, task: ProbeTask) -> list[ProbeRow]:
    index = dataset.index
    present = {name: index.present(name) for name in recipe.streams if name not in recipe.leak.allow}
    groups = {name: column.astype(str) for name, column in index.groups.items()}
    columns = metadata_features(groups, present, start_ns=index.start_ns, end_ns=index.end_ns, train=task.train)
    return metadata_rows(columns, task, config=recipe.probe, seed=recipe.seed)


def _chance(task: ProbeTask) -> float:
    labels = task.labels[task.test]
    return float(np.bincount(labels[labels >= 0]).max() / (labels >= 0).sum())


def _draw(context: Context, dataset: Dataset, fused: Matrix, *, drawn: Result) -> ClusterStudy:
    """Write what the report shows of the fused features (N, D), with the pseudo-labels where there are any."""
    recipe, study = context.recipe, ClusterStudy()
    found = read_pseudo_labels(_pseudo_labels_path(context), num_samples=len(dataset.index))
    if found is not None:
        classes, names = _classes(recipe, dataset)
        study = study_clusters(found, _columns(dataset, found.idx), fused, classes=classes, names=names)
        own = _pretraining_map(recipe, dataset, found, fused)
        drawn = {**drawn, "maps": [*_listed(drawn.get("maps")), own], "clusters": study.document()}
    write_json(context.folder.stage("probe") / "figures.json", drawn)
    return study


def _listed(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _drawn(recipe: Recipe, dataset: Dataset, task: ProbeTask, fused: Matrix, rows: list[ProbeRow]) -> Result:
    """A map of test samples and a confusion matrix."""
    names = list(dataset.manifest.labels[str(recipe.label)])
    shown = _some(recipe, task.test[task.labels[task.test] >= 0])
    groups = {str(recipe.label): [names[k] for k in task.labels[shown]]}
    groups |= {name: [str(value) for value in column[shown]] for name, column in dataset.index.groups.items()}
    best = next(
        r
        for r in rows
        if (r.source, r.subset, r.method) == ("probe", "fused", "linear")
        and r.percent == max(recipe.probe.label_percents)
    )
    return {
        "maps": [_map("Test samples, fused features", fused[shown], groups)],
        "confusions": [{"title": "Linear probe, fused", "counts": best.confusion.tolist(), "names": [*names]}],
    }


def _some(recipe: Recipe, idx: Rows) -> Rows:
    rng = np.random.default_rng(recipe.seed)
    return np.sort(rng.choice(idx, size=min(MAP_SAMPLES, len(idx)), replace=False))


def _map(title: str, x: Matrix, groups: Mapping[str, list[str]]) -> Result:
    xy = np.round(_two_dimensions(x), 3).tolist()
    return {"title": title, "xy": xy, "groups": {name: [*values] for name, values in groups.items()}}


def _pseudo_labels_path(context: Context) -> Path:
    return context.folder.path / "pretrain" / PSEUDO_LABELS_NAME


def _columns(dataset: Dataset, idx: Rows) -> list[Column]:
    """Every label and group column at samples idx; a group of a label's name is called as in the index."""
    labels, groups = dataset.index.classes, dataset.index.groups
    found = [label_column(name, classes[idx]) for name, classes in labels.items()]
    return found + [group_column(f"group.{n}" if n in labels else n, values[idx]) for n, values in groups.items()]


def _classes(recipe: Recipe, dataset: Dataset) -> tuple[Rows, list[str]]:
    """Classes (N,) of the recipe's label and their names; -1 and none where it has no label."""
    if recipe.label is None:
        return np.full(len(dataset.index), -1), []
    return dataset.index.labels(recipe.label), list(dataset.manifest.labels[recipe.label])


def _pretraining_map(recipe: Recipe, dataset: Dataset, found: PseudoLabels, fused: Matrix) -> Result:
    """Test samples have no pseudo-label, so these have a map of their own, which says what it shows."""
    idx = _some(recipe, found.idx)
    at = np.searchsorted(found.idx, idx)
    classes, names = _classes(recipe, dataset)
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
