"""Probe stage: frozen features, read by linear and kNN probes, beside controls under the same protocol."""

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from jobs._run_folder import write_json
from jobs.assemble import Dataset, open_dataset, source_of
from jobs.configs import Recipe
from jobs.frozen import encoded_features, encoders_of, handmade_features
from jobs.leak_audit import audit_rows, audit_splits
from jobs.pretrained import pretrained_encoders
from jobs.stages import Context
from pipeline.errors import DataError
from pipeline.evaluate.controls import control_rows, metadata_rows, probe_rows
from pipeline.evaluate.features import Features
from pipeline.evaluate.fusion import fuse
from pipeline.evaluate.metadata import metadata_features
from pipeline.evaluate.probe import ProbeRow, ProbeTask

MAP_SAMPLES = 1000
_MAP_LEAST = 10  # samples below which a neighbourhood means nothing
Result = dict[str, JsonValue]


def probe(context: Context) -> Result:
    """Metrics of every subset, method and label fraction, for the trained encoders and the controls."""
    recipe = context.recipe
    if recipe.label is None:
        return {"skipped": "the recipe has no label", "metrics": {}}
    torch.set_num_threads(max(1, recipe.pretrain.threads * recipe.pretrain.workers))
    dataset = open_dataset(source_of(recipe))
    audit_splits(recipe, dataset)
    task = probe_task(recipe, dataset)
    tables = _tables(context, dataset, task)
    subsets, config = recipe.probed_subsets(), recipe.probe
    rows = probe_rows(tables["probe"], task, subsets, config=config, seed=recipe.seed)
    for name in ("random_init", "features"):
        rows += control_rows(name, tables[name], task, subsets, config=config, seed=recipe.seed)
    rows += _metadata(recipe, dataset, task)
    _draw(context, dataset, task, tables["probe"], rows)
    names = dataset.manifest.labels[recipe.label]
    return {
        "chance": _chance(task),
        "classes": list(names),
        "warnings": list(audit_rows(recipe, dataset, rows)),
        "metrics": {name: value for row in rows for name, value in row.metrics().items()},
    }


def probe_task(recipe: Recipe, dataset: Dataset) -> ProbeTask:
    """Labels, and the groups that validation holds out (every sample its own where the recipe names no subject)."""
    index, label = dataset.index, str(recipe.label)
    if len(dataset.manifest.labels.get(label, ("", ""))) < 2:
        raise DataError(
            f"label {label} has one class only", code="DATA_LABEL", field=label, fix="set label: null, or label more"
        )
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


def _draw(context: Context, dataset: Dataset, task: ProbeTask, table: Features, rows: list[ProbeRow]) -> None:
    """What the report shows of the features: a map of test samples and a confusion matrix."""
    recipe, index = context.recipe, dataset.index
    names = dataset.manifest.labels[str(recipe.label)]
    rng = np.random.default_rng(recipe.seed)
    test = task.test[task.labels[task.test] >= 0]
    shown = np.sort(rng.choice(test, size=min(MAP_SAMPLES, len(test)), replace=False))
    xy = _two_dimensions(fuse(table, list(recipe.streams), train=task.train)[shown])
    groups = {str(recipe.label): [names[k] for k in task.labels[shown]]}
    groups |= {name: [str(value) for value in column[shown]] for name, column in index.groups.items()}
    best = next(
        r
        for r in rows
        if (r.source, r.subset, r.method) == ("probe", "fused", "linear")
        and r.percent == max(recipe.probe.label_percents)
    )
    drawn = {
        "maps": [{"title": "Test samples, fused features", "xy": np.round(xy, 3).tolist(), "groups": groups}],
        "confusions": [{"title": "Linear probe, fused", "counts": best.confusion.tolist(), "names": list(names)}],
    }
    write_json(context.folder.stage("probe") / "figures.json", drawn)


def _two_dimensions(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """t-SNE (van der Maaten and Hinton 2008) of the leading principal components; of too few samples these alone."""
    reduced = PCA(min(30, *x.shape), random_state=0).fit_transform(x)
    if len(x) < _MAP_LEAST:
        return np.pad(reduced[:, :2], ((0, 0), (0, max(0, 2 - reduced.shape[1]))))
    perplexity = min(30.0, max(2.0, (len(x) - 1) / 3))
    return TSNE(perplexity=perplexity, init="pca", random_state=0, n_jobs=1).fit_transform(reduced)
