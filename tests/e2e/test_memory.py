"""What a training takes at most, against what preflight says that it needs."""

import os
import subprocess
from pathlib import Path

import pytest
import torch

from jobs.assemble import build_modalities, build_pretraining, open_dataset
from jobs.configs import Recipe
from jobs.preflight import estimate
from jobs.surroundings import surroundings_of
from pipeline.config import load_config
from pipeline.worker import SingleWorker
from tests.e2e.conftest import RECIPE, command, environment

WIDE = ["streams.imu.encoder.widths=[96,192]", "streams.photo.encoder.width=256", "streams.note.encoder.width=256"]
MARGIN = 1.1
CAUTION = 1.5


def _estimate(overrides: list[str], data: Path) -> int:
    recipe, dataset = load_config(Recipe, RECIPE, overrides), open_dataset(data)
    surroundings = surroundings_of(recipe, [dataset], SingleWorker(), torch.device("cpu"))
    task = build_pretraining(recipe, build_modalities(recipe, dataset, seed=recipe.seed), surroundings)
    return estimate(task, dataset, recipe.pretrain).memory


@pytest.mark.slow
@pytest.mark.fault("P14")
@pytest.mark.parametrize("given", [[], [*WIDE, "pretrain.batch_size=64", "pretrain.micro_batches=2"]])
def test_no_training_takes_more_memory_than_was_estimated(workplace: Path, given: list[str]) -> None:
    needed = _estimate(given, workplace / "run" / "data")

    with (workplace / "out").open("w") as out:
        words = command("pretrain", "out=run", "pretrain.epochs=2", *given)
        process = subprocess.Popen(words, cwd=workplace, env=environment(workplace), stdout=out, stderr=out)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)

    assert process.returncode == 0, (workplace / "out").read_text()
    taken = used.ru_maxrss << 10
    assert taken <= MARGIN * needed, f"{taken >> 20} MiB of {needed >> 20} MiB"
    assert needed <= CAUTION * taken, f"{taken >> 20} MiB of {needed >> 20} MiB"
