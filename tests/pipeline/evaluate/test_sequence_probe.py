"""Sequence probes on planted features: what is there is found, at the rate of the labels, and nothing else is."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from modalities.spec import Signal
from pipeline.errors import DataError
from pipeline.evaluate.position_classes import position_classes
from pipeline.evaluate.probe_config import ProbeConfig
from pipeline.evaluate.sequence_config import SequenceConfig
from pipeline.evaluate.sequence_lines import sequence_lines
from pipeline.evaluate.sequence_probe import SequenceRow, SequenceTask, StepFeatures, sequence_probe
from pipeline.types import Batch

SAMPLES, STEPS, CLASSES, STRIDE = 48, 24, 3, 4
PROBE = ProbeConfig(inverse_strengths=(0.1, 1.0), folds=2)


def labels(seed: int = 0) -> Tensor:
    """(N, T) runs of random classes whose borders lie between positions; some steps are unknown, one sample all."""
    generator = torch.Generator().manual_seed(seed)
    runs = torch.randint(CLASSES, (SAMPLES, STEPS // STRIDE), generator=generator).repeat_interleave(STRIDE, dim=1)
    runs[torch.rand(runs.shape, generator=generator) < 0.1] = -1
    runs[5] = -1
    return runs


def features(steps: Tensor, *, noise: float, informative: bool = True) -> StepFeatures:
    """Positions that show their class in one of four columns."""
    generator = torch.Generator().manual_seed(1)
    classes = position_classes(steps, STRIDE)
    shown = torch.nn.functional.one_hot(classes.clamp(min=0), CLASSES).float() * informative
    values = torch.cat([shown, torch.zeros(*classes.shape, 1)], dim=2)
    values = values + noise * torch.randn(values.shape, generator=generator)

    def read(idx: np.ndarray) -> Batch:
        rows = torch.from_numpy(idx)
        signal = Signal(torch.zeros(len(idx), 1, STEPS), None, torch.ones(len(idx), dtype=torch.bool))
        return Batch(rows, {"imu": signal}, {}, step_labels={"phase": steps[rows]})

    return StepFeatures(read, lambda batch: values[batch.idx], STRIDE)


def task(test: int = 16) -> SequenceTask:
    groups = np.array([f"s{number % 6}" for number in range(SAMPLES)])
    return SequenceTask("phase", CLASSES, groups, np.arange(test, SAMPLES), np.arange(test))


def probed(found: StepFeatures, **changes: object) -> list[SequenceRow]:
    config = SequenceConfig.model_validate({"targets": ["phase"], **changes})
    return sequence_probe(found, task(), source="probe", stream="imu", config=config, probe=PROBE, seed=0)


def test_majority_of_known_steps_and_the_lower_class_of_two() -> None:
    steps = torch.tensor([[1, 0, 0, 1, 2, -1, -1, -1, -1, -1], [-1] * 8 + [2, -1]])

    assert position_classes(steps, 4).tolist() == [[0, 2, -1], [-1, -1, 2]]
    assert position_classes(steps, 1).tolist() == steps.tolist()


def test_what_positions_show_is_found_and_noise_is_chance() -> None:
    (clear,) = probed(features(labels(), noise=0.01))
    (blind,) = probed(features(labels(), noise=1.0, informative=False))

    assert clear.scores.accuracy == clear.scores.f1_macro == clear.scores.edit == 1.0
    assert clear.scores.f1_at == {10: 1.0, 25: 1.0, 50: 1.0}
    assert clear.interval == (1.0, 1.0)
    assert clear.validated
    assert blind.scores.accuracy < 0.55
    assert blind.scores.edit < 0.8
    assert blind.interval is not None
    assert blind.interval[0] < blind.scores.accuracy < blind.interval[1]


def test_a_border_inside_a_position_costs_its_steps() -> None:
    steps = labels()
    steps[0] = torch.tensor([0] * 10 + [1] * 14)
    found = features(steps, noise=0.01)

    (row,) = sequence_probe(
        found,
        task(test=1),
        source="probe",
        stream="imu",
        config=SequenceConfig(targets=("phase",)),
        probe=PROBE,
        seed=0,
    )

    assert row.scores.accuracy == pytest.approx(22 / 24), "two of four steps of one position have the other class"


def test_every_source_learns_from_the_same_whole_samples_up_to_the_limit() -> None:
    few, more = probed(features(labels(), noise=0.1), percents=[25, 100])
    (limited,) = probed(features(labels(), noise=0.1), max_positions=13)
    (other,) = probed(features(labels(), noise=5.0), max_positions=13)

    assert (few.num_samples, more.num_samples) == (8, 32)
    assert limited.num_samples == other.num_samples == 3
    assert limited.num_positions == other.num_positions
    assert 13 <= limited.num_positions < 13 + STEPS // STRIDE


@pytest.mark.parametrize("empty", [lambda s: s.fill_(-1), lambda s: s[16:].fill_(-1), lambda s: s[16:].fill_(1)])
def test_too_few_labels_are_refused(empty: Callable[[Tensor], Tensor]) -> None:
    steps = labels()
    empty(steps)

    with pytest.raises(DataError, match="too few steps with a class of phase"):
        probed(features(steps, noise=0.1))


def test_lines_of_the_table_stand_beside_their_controls() -> None:
    (row,) = probed(features(labels(), noise=1.0))
    metrics = row.metrics() | {name.replace("/probe/", "/raw/"): value / 2 for name, value in row.metrics().items()}

    (line,) = sequence_lines({"probe/fused/linear/100/accuracy": 1.0, **metrics})

    assert (line.target, line.stream, line.percent) == ("phase", "imu", 100.0)
    assert line.figures["f1_at_25"] == {"probe": row.scores.f1_at[25], "raw": row.scores.f1_at[25] / 2}
    assert line.interval == row.interval
