"""What a training takes at most, against what preflight says that it needs."""

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
from tests.wait_for import wait_for

WIDE = ["streams.imu.encoder.widths=[96,192]", "streams.photo.encoder.width=256", "streams.note.encoder.width=256"]
MARGIN = 1.1
CAUTION = 1.5


def _estimate(overrides: list[str], data: Path) -> int:
    recipe, dataset = load_config(Recipe, RECIPE, overrides), open_dataset(data)
    surroundings = surroundings_of(recipe, [dataset], SingleWorker(), torch.device("cpu"))
    task = build_pretraining(recipe, build_modalities(recipe, dataset, seed=recipe.seed), surroundings)
    return estimate(task, dataset, recipe.pretrain).memory


def _peak(process: subprocess.Popen[bytes]) -> int:
    """Bytes that it had resident at most, until its end. What wait4 tells begins with the size of its parent."""
    status, peak = Path(f"/proc/{process.pid}/status"), 0

    def ended() -> bool:
        nonlocal peak
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        peak = max(peak, int(lines.get("VmHWM", "0 kB").split()[0]) << 10)  # none of one that has ended
        return process.poll() is not None

    wait_for(ended, seconds=280)
    return peak


@pytest.mark.slow
@pytest.mark.fault("P14")
@pytest.mark.parametrize("given", [[], [*WIDE, "pretrain.batch_size=64", "pretrain.micro_batches=2"]])
def test_no_training_takes_more_memory_than_was_estimated(workplace: Path, given: list[str]) -> None:
    needed = _estimate(given, workplace / "run" / "data")

    with (workplace / "out").open("w") as out:
        words = command("pretrain", "out=run", "pretrain.epochs=2", *given)
        process = subprocess.Popen(words, cwd=workplace, env=environment(workplace), stdout=out, stderr=out)
        taken = _peak(process)

    assert process.returncode == 0, (workplace / "out").read_text()
    assert taken <= MARGIN * needed, f"{taken >> 20} MiB of {needed >> 20} MiB"
    assert needed <= CAUTION * taken, f"{taken >> 20} MiB of {needed >> 20} MiB"
