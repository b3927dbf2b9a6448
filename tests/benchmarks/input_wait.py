"""Share of the training time spent waiting for input, and memory over epochs, of a recipe in one process.

    python -m tests.benchmarks.input_wait RECIPE [KEY=VALUE ...] --epochs 10

The data set must be ingested already (`data.path=...` as an override names it). Prints the resident memory after every
epoch and one JSON line: wait_share, and growth_mib between the second epoch, when everything is warm, and the last.
"""

import argparse
import json
import tempfile
from pathlib import Path

import psutil
import torch

from jobs.assemble import batch_reader, build_modalities, build_pretraining, open_dataset
from jobs.configs import Recipe
from jobs.order import pretraining_order
from pipeline.config import load_config
from pipeline.data.shard_source import LocalShards
from pipeline.tracking import Spool
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit import Fit
from pipeline.train.loop import run_fit
from pipeline.train.optim import parameter_groups
from pipeline.worker import SingleWorker


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    recipe = load_config(Recipe, options.recipe, [*options.overrides, f"pretrain.epochs={options.epochs}"])
    resident: list[float] = []

    def after_epoch(epoch: int) -> bool:
        resident.append(psutil.Process().memory_info().rss / (1 << 20))
        print(f"epoch {epoch} {resident[-1]:.1f} MiB resident", flush=True)
        return False

    with tempfile.TemporaryDirectory(prefix="kindred-bench-") as temporary:
        result = run_fit(make_fit(recipe, Path(temporary), after_epoch))
    growth = resident[-1] - resident[min(1, len(resident) - 1)]
    print(
        json.dumps({"wait_share": round(result.wait_share, 4), "growth_mib": round(growth, 1), "steps": result.steps})
    )


def make_fit(recipe: Recipe, folder: Path, after_epoch: object) -> Fit:
    """The pretraining stage of a recipe as one worker runs it."""
    config = recipe.pretrain
    torch.set_num_threads(config.threads)
    dataset = open_dataset(LocalShards(recipe.dataset_folder))
    task = build_pretraining(recipe, build_modalities(recipe, dataset, seed=recipe.seed))
    return Fit(
        task=task,
        order=pretraining_order(recipe, [dataset.index], dataset.manifest.labels),
        read=batch_reader(dataset, list(recipe.streams)),
        config=config,
        worker=SingleWorker(),
        store=CheckpointStore(folder / "checkpoints"),
        run=Spool(folder / "pretrain.jsonl", prefix="pretrain/"),
        identity={},
        seed=recipe.seed,
        groups=parameter_groups(task.module, config.optim) + parameter_groups(task.objectives, config.optim),
        after_epoch=after_epoch,  # type: ignore[arg-type]
    )


if __name__ == "__main__":
    main()
