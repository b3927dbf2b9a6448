"""Every figure of the probe stage, from tables of frozen features and the index: the encoders are not needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobs._dataset_summary import check_columns
from jobs._run_folder import RunFolder
from jobs.assemble import Dataset
from jobs.configs import Recipe
from jobs.regression import regression_rows
from jobs.surroundings import relations_of
from pipeline.evaluate.cluster_agreement import Column, group_column, label_column
from pipeline.evaluate.cluster_study import ClusterStudy, study_clusters
from pipeline.evaluate.controls import control_rows, metadata_rows, probe_rows
from pipeline.evaluate.features import Features
from pipeline.evaluate.fusion import fuse
from pipeline.evaluate.gain import Gain, gains
from pipeline.evaluate.metadata import metadata_features
from pipeline.evaluate.probe import ProbeRow, ProbeTask
from pipeline.evaluate.pseudo_labels import PSEUDO_LABELS_NAME, PseudoLabels, read_pseudo_labels
from pipeline.evaluate.regression import RegressionRow
from pipeline.evaluate.relation_recovery import Recoveries, recover, recovery_metrics

Rows = NDArray[np.int64]
Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class ProbeFigures:
    """rows: of the results table. regression: of the recipe's targets. gains: over the strongest controls. study: what
    pseudo-labels follow. recoveries: of the recipe's relations."""

    rows: list[ProbeRow]
    regression: list[RegressionRow]
    gains: list[Gain]
    study: ClusterStudy
    recoveries: Recoveries

    def metrics(self) -> dict[str, float]:
        """Flat names for tracking."""
        found = {
            name: value for row in [*self.rows, *self.regression, *self.gains] for name, value in row.metrics().items()
        }
        return {**found, **self.study.metrics(), **recovery_metrics(self.recoveries)}


def probe_figures(recipe: Recipe, dataset: Dataset, folder: RunFolder, tables: Mapping[str, Features]) -> ProbeFigures:
    """Of the trained encoders' features (`probe`) and those of the controls (`random_init`, `features`)."""
    task, subsets, config = probe_task(recipe, dataset), recipe.probed_subsets(), recipe.probe
    rows = probe_rows(tables["probe"], task, subsets, config=config, seed=recipe.seed)
    for name in ("random_init", "features"):
        rows += control_rows(name, tables[name], task, subsets, config=config, seed=recipe.seed)
    metadata = _metadata(recipe, dataset, task.train)
    rows += metadata_rows(metadata, task, config=config, seed=recipe.seed)
    regression = regression_rows(recipe, dataset, tables, metadata)
    fused = fuse(tables["probe"], list(recipe.streams), train=task.train)
    study = pseudo_label_study(recipe, dataset, pseudo_labels_of(folder, dataset), fused)
    recoveries = _recovered(recipe, dataset, {name: tables[name] for name in ("probe", "random_init")})
    gained = gains(rows, task.groups[task.labelled_test()], seed=recipe.seed)
    return ProbeFigures(rows, regression, gained, study, recoveries)


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


def _metadata(recipe: Recipe, dataset: Dataset, train: Rows) -> Matrix:
    index = dataset.index
    present = {name: index.present(name) for name in recipe.streams if name not in recipe.leak.allow}
    groups = {name: column.astype(str) for name, column in index.groups.items()}
    return metadata_features(groups, present, start_ns=index.start_ns, end_ns=index.end_ns, train=train)


def _recovered(recipe: Recipe, dataset: Dataset, tables: Mapping[str, Features]) -> Recoveries:
    """Relations of training samples, by the features that the encoders they were trained with give of them."""
    train, names = dataset.index.rows("train"), list(recipe.streams)
    relations = relations_of(recipe, dataset.index, dataset.manifest.labels, list(recipe.relations))
    return recover(relations, {source: fuse(table, names, train=train)[train] for source, table in tables.items()})


def pseudo_labels_of(folder: RunFolder, dataset: Dataset) -> PseudoLabels | None:
    """What the pretraining left behind; None where it had none."""
    return read_pseudo_labels(pseudo_labels_path(folder), num_samples=len(dataset.index))


def pseudo_labels_path(folder: RunFolder) -> Path:
    """Where a pretraining leaves its pseudo-labels."""
    return folder.path / "pretrain" / PSEUDO_LABELS_NAME


def pseudo_label_study(recipe: Recipe, dataset: Dataset, found: PseudoLabels | None, fused: Matrix) -> ClusterStudy:
    """What pseudo-labels follow, by fused features (N, D); an empty study where there are none."""
    if found is None:
        return ClusterStudy()
    classes, names = classes_of(recipe, dataset)
    return study_clusters(found, _columns(dataset, found.idx), fused, classes=classes, names=names)


def classes_of(recipe: Recipe, dataset: Dataset) -> tuple[Rows, list[str]]:
    """Classes (N,) of the recipe's label and their names; -1 and none where it has no label."""
    if recipe.label is None:
        return np.full(len(dataset.index), -1), []
    return dataset.index.labels(recipe.label), list(dataset.manifest.labels[recipe.label])


def _columns(dataset: Dataset, idx: Rows) -> list[Column]:
    """Every label and group column at samples idx; a group of a label's name is called as in the index."""
    labels, groups = dataset.index.classes, dataset.index.groups
    found = [label_column(name, classes[idx]) for name, classes in labels.items()]
    return found + [group_column(f"group.{n}" if n in labels else n, values[idx]) for n, values in groups.items()]
