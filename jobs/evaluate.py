"""Evaluate stage: every metric of the test split from the tables that the probe stage stored; no encoder is built."""

from itertools import permutations

import numpy as np
import torch
from pydantic import JsonValue

from jobs._console import Console
from jobs._evaluation_table import show_evaluation
from jobs._run_folder import numbers
from jobs.assemble import Dataset, open_dataset, source_of
from jobs.configs import Recipe
from jobs.probe_figures import probe_figures
from jobs.sample_groups import sample_groups
from jobs.stages import Context
from jobs.stored_tables import stored_step_tables, stored_tables
from pipeline.data.index import Index
from pipeline.evaluate.evaluation import Evaluator
from pipeline.evaluate.evaluation_task import Codes, EvaluationTask, group_codes
from pipeline.evaluate.retrieval_examples import dump_examples, retrieval_examples

_MAX_PAIRS = 2
Result = dict[str, JsonValue]


def evaluate(context: Context) -> Result:
    """Metrics `evaluate/<group>/...`, among them every one of the probe stage anew, and reasons for those left out."""
    recipe = context.recipe
    if not recipe.is_probed:
        return {"skipped": "the recipe has no label", "metrics": {}}
    torch.set_num_threads(max(1, recipe.pretrain.threads * recipe.pretrain.workers))
    tables, steps = stored_tables(context.folder), stored_step_tables(context.folder, recipe.step_targets())
    dataset = open_dataset(source_of(recipe), recipe.aliases)
    again = probe_figures(recipe, dataset, context.folder, tables, steps).metrics()
    task = _task(recipe, dataset)
    evaluator = Evaluator(task, recipe.probed_subsets(), recipe.evaluate, recipe.seed)
    found = evaluator.evaluate(tables)
    show_evaluation(Console(), found, title=f"{recipe.name}: test split, stored features")
    differing = _differing(again, numbers(context.folder.metrics(["probe"])))
    if differing:
        Console().line(f"warning: {len(differing)} figures of the probe stage came out otherwise: {differing[0]}")
    metrics = {**again, **found.metrics}
    return {
        "refused": {**found.refused},
        "reproduced": len(again) - len(differing),
        "differing": [*differing],
        "examples": dump_examples(retrieval_examples(tables["probe"], task, _shown_pairs(recipe), seed=recipe.seed)),
        "metrics": {f"evaluate/{name}": value for name, value in metrics.items()},
    }


def _differing(again: dict[str, float], probed: dict[str, float]) -> list[str]:
    """Names of figures that are not exactly those of the probe stage."""
    return [f"{name}: {probed.get(name)} -> {value}" for name, value in again.items() if probed.get(name) != value]


def _shown_pairs(recipe: Recipe) -> list[tuple[str, str]]:
    """Pairs (asked, found) of streams whose retrieval is shown: those of two kinds first, and sensors to be found."""
    kinds = {name: stream.kind for name, stream in recipe.streams.items()}
    pairs = sorted(
        permutations(kinds, 2), key=lambda pair: (kinds[pair[0]] == kinds[pair[1]], kinds[pair[1]] != "sensor")
    )
    return pairs[:_MAX_PAIRS]


def _task(recipe: Recipe, dataset: Dataset) -> EvaluationTask:
    index, config = dataset.index, recipe.evaluate
    unknown = np.full(len(index), -1)
    labels = unknown if recipe.label is None else index.labels(recipe.label)
    return EvaluationTask(
        train=index.rows("train"),
        test=index.rows("test"),
        labels=labels,
        identities=_identities(index, config.identity or recipe.subject, labels),
        records=index.record,
        sessions=index.record if config.session is None else group_codes(index.group(config.session).astype(str)),
        groups=sample_groups(recipe, index),
        content={name: index.content(name) for name in recipe.streams},
        grouped=recipe.subject is not None,
    )


def _identities(index: Index, name: str | None, labels: Codes) -> Codes:
    """Of the group or label column, or the labels where none is named."""
    if name is None:
        return labels
    known = index.groups.get(name)
    return index.labels(name) if known is None else group_codes(known.astype(str))
