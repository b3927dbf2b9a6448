"""Every figure of the probe stage, from tables of frozen features and the index: the encoders are not needed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jobs._console import Console
from jobs._run_folder import RunFolder
from jobs.assemble import Dataset
from jobs.configs import Recipe
from jobs.multi_label import multi_label_tasks
from jobs.regression import regression_tasks
from jobs.sample_groups import sample_groups
from jobs.sequence import StepTables, sequence_rows
from jobs.surroundings import relations_of
from pipeline.evaluate.cluster_agreement import Column, group_column, label_column
from pipeline.evaluate.cluster_study import ClusterStudy, study_clusters
from pipeline.evaluate.controls import ProbeInput, probe_inputs, probe_rows
from pipeline.evaluate.features import Features
from pipeline.evaluate.gain import Gain
from pipeline.evaluate.metadata import metadata_features
from pipeline.evaluate.multi_label import MultiLabelRow, multi_label_probe
from pipeline.evaluate.probe import ProbeRow, ProbeTask
from pipeline.evaluate.pseudo_labels import PSEUDO_LABELS_NAME, PseudoLabels, read_pseudo_labels
from pipeline.evaluate.regression import RegressionRow, regression_probe
from pipeline.evaluate.relation_recovery import Recoveries, recover, recovery_metrics
from pipeline.evaluate.results import FUSED
from pipeline.evaluate.sequence_probe import SequenceRow
from pipeline.evaluate.strongest_control import gains, target_gains

Rows = NDArray[np.int64]
Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class ProbeFigures:
    """rows: of the label. targets: of what is predicted beside it. sequences: of single steps. gains: over the
    strongest controls. study: what pseudo-labels follow. recoveries: of the recipe's relations. fused: (N, D) learned
    features, all streams side by side."""

    rows: list[ProbeRow]
    targets: list[RegressionRow | MultiLabelRow]
    sequences: list[SequenceRow]
    gains: list[Gain]
    study: ClusterStudy
    recoveries: Recoveries
    fused: Matrix

    def metrics(self) -> dict[str, float]:
        """Flat names for tracking."""
        rows = [*self.rows, *self.targets, *self.sequences, *self.gains]
        found = {name: value for row in rows for name, value in row.metrics().items()}
        return {**found, **self.study.metrics(), **recovery_metrics(self.recoveries)}


def probe_figures(
    recipe: Recipe, dataset: Dataset, folder: RunFolder, tables: Mapping[str, Features], steps: StepTables
) -> ProbeFigures:
    """Of the trained encoders' features (`probe`) and those of the controls, by source."""
    task = None if recipe.label is None else probe_task(recipe, dataset)
    numbers, tagged = regression_tasks(recipe, dataset), multi_label_tasks(recipe, dataset)
    rows: list[ProbeRow] = []
    targets: list[RegressionRow | MultiLabelRow] = []
    fused: dict[str, Matrix] = {}
    config, seed, train = recipe.probe, recipe.seed, dataset.index.rows("train")
    subsets = recipe.probed_subsets()
    inputs = probe_inputs(tables, _metadata(recipe, dataset, train), subsets, train=train)
    for given in _shown(inputs, len(tables) * len(subsets) + 1):
        if given.subset == FUSED and given.source in {"probe", "random_init"}:
            fused[given.source] = given.x
        rows += [] if task is None else probe_rows(given, task, config=config, seed=seed)
        if (ridge := recipe.regression) is not None:
            for each in numbers:
                targets += regression_probe(given, each, config=ridge, probe=config, seed=seed)
        for each in tagged:
            targets += multi_label_probe(given, each, config=config, seed=seed)
    gained = [] if task is None else gains(rows, task.groups[task.labelled_test()], seed=seed)
    for each in (*numbers, *tagged):
        own = [row for row in targets if (row.kind, row.target) == (each.kind, each.name)]
        gained += target_gains(own, each.groups[each.labelled_test()], seed=seed)
    study = pseudo_label_study(recipe, dataset, pseudo_labels_of(folder, dataset), fused["probe"])
    sequences, recoveries = sequence_rows(recipe, dataset, steps), _recovered(recipe, dataset, fused)
    return ProbeFigures(rows, targets, sequences, gained, study, recoveries, fused["probe"])


def _shown(inputs: Iterable[ProbeInput], total: int) -> Iterator[ProbeInput]:
    """The same, with how far it is: probes of many columns take minutes."""
    with Console().progress("probes", total) as advance:
        for number, given in enumerate(inputs):
            advance(number)
            yield given
        advance(total)


def probe_task(recipe: Recipe, dataset: Dataset) -> ProbeTask:
    """Labels, and the groups that validation holds out (every sample its own where the recipe names no subject)."""
    index, label = dataset.index, str(recipe.label)
    return ProbeTask(
        labels=index.labels(label),
        groups=sample_groups(recipe, index),
        train=index.rows("train"),
        test=index.rows("test"),
        num_classes=len(dataset.manifest.labels[label]),
    )


def _metadata(recipe: Recipe, dataset: Dataset, train: Rows) -> Matrix:
    index = dataset.index
    present = {name: index.present(name) for name in recipe.streams if name not in recipe.leak.allow}
    groups = {name: column.astype(str) for name, column in index.groups.items()}
    return metadata_features(groups, present, start_ns=index.start_ns, end_ns=index.end_ns, train=train)


def _recovered(recipe: Recipe, dataset: Dataset, fused: Mapping[str, Matrix]) -> Recoveries:
    """Relations of training samples, by the features that the encoders they were trained with give of them."""
    train = dataset.index.rows("train")
    relations = relations_of(recipe, dataset.index, dataset.manifest.labels, list(recipe.relations))
    return recover(relations, {source: x[train] for source, x in fused.items()})


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
