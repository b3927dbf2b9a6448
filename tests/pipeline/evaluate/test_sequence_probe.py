"""Sequence probes on planted features: what is there is found, at the rate of the labels, and nothing else is."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.errors import DataError
from pipeline.evaluate.probe_config import ProbeConfig
from pipeline.evaluate.sequence_config import SequenceConfig
from pipeline.evaluate.sequence_lines import sequence_lines
from pipeline.evaluate.sequence_probe import SequenceRow, sequence_probe
from pipeline.evaluate.sequence_task import SequenceTask
from pipeline.evaluate.step_features import StepFeatures, step_features, training_samples
from pipeline.evaluate.step_table import write_steps
from tests.pipeline.evaluate.planted_steps import STEPS, STRIDE, features, labels, task

PROBE = ProbeConfig(inverse_strengths=(0.1, 1.0), folds=2)


def probed(folder: Path, found: StepFeatures, own: SequenceTask | None = None, **changes: object) -> list[SequenceRow]:
    """From a table on disk, as the probe stage does it."""
    config, own = SequenceConfig.model_validate({"targets": ["phase"], **changes}), own or task()
    train = training_samples(found.read, own, stride=found.stride, config=config, seed=0)
    batches = step_features(found, own, train)
    table = write_steps(batches, folder / "steps.parquet", encoder_hash="abc", stride=found.stride)
    return sequence_probe(table, own, source="probe", stream="imu", config=config, probe=PROBE, seed=0)


def test_what_positions_show_is_found_and_noise_is_chance(tmp_path: Path) -> None:
    (clear,) = probed(tmp_path, features(labels(), noise=0.01))
    (blind,) = probed(tmp_path, features(labels(), noise=1.0, informative=False))

    assert clear.scores.accuracy == clear.scores.f1_macro == clear.scores.edit == 1.0
    assert clear.scores.f1_at == {10: 1.0, 25: 1.0, 50: 1.0}
    assert clear.interval == (1.0, 1.0)
    assert clear.validated
    assert blind.scores.accuracy < 0.55
    assert blind.scores.edit < 0.8
    assert blind.interval is not None
    assert blind.interval[0] < blind.scores.accuracy < blind.interval[1]


def test_a_border_inside_a_position_costs_its_steps(tmp_path: Path) -> None:
    steps = labels()
    steps[0] = torch.tensor([0] * 10 + [1] * 14)
    found = features(steps, noise=0.01)

    (row,) = probed(tmp_path, found, task(test=1))

    assert row.scores.accuracy == pytest.approx(22 / 24), "two of four steps of one position have the other class"


def test_every_source_learns_from_the_same_whole_samples_up_to_the_limit(tmp_path: Path) -> None:
    few, more = probed(tmp_path, features(labels(), noise=0.1), percents=[25, 100])
    (limited,) = probed(tmp_path, features(labels(), noise=0.1), max_positions=13)
    (other,) = probed(tmp_path, features(labels(), noise=5.0), max_positions=13)

    assert (few.num_samples, more.num_samples) == (8, 32)
    assert limited.num_samples == other.num_samples == 3
    assert limited.num_positions == other.num_positions
    assert 13 <= limited.num_positions < 13 + STEPS // STRIDE


@pytest.mark.parametrize("empty", [lambda s: s.fill_(-1), lambda s: s[16:].fill_(-1), lambda s: s[16:].fill_(1)])
def test_too_few_labels_are_refused(tmp_path: Path, empty: Callable[[Tensor], Tensor]) -> None:
    steps = labels()
    empty(steps)

    with pytest.raises(DataError, match="too few steps with a class of phase"):
        probed(tmp_path, features(steps, noise=0.1))


def test_lines_of_the_table_stand_beside_their_controls(tmp_path: Path) -> None:
    (row,) = probed(tmp_path, features(labels(), noise=1.0))
    metrics = row.metrics() | {name.replace("/probe/", "/raw/"): value / 2 for name, value in row.metrics().items()}

    (line,) = sequence_lines({"probe/fused/linear/100/accuracy": 1.0, **metrics})

    assert (line.target, line.stream, line.percent) == ("phase", "imu", 100.0)
    assert line.figures["f1_at_25"] == {"probe": row.scores.f1_at[25], "raw": row.scores.f1_at[25] / 2}
    assert line.interval == row.interval
