"""Planted correctness with a known gain, with none, and at random: how often a claim is made."""

import numpy as np
import pytest

from pipeline.evaluate.gain import LEAST_GROUPS, Gain, few_groups, paired, read_gains
from pipeline.evaluate.probe_row import ProbeRow
from pipeline.evaluate.regression import RegressionRow
from pipeline.evaluate.strongest_control import gains, target_gains
from pipeline.evaluate.verdict import gain_lines, target_gain_lines, verdict

GROUPS = np.repeat([f"s{i}" for i in range(9)], 40)


def row(source: str, correct: np.ndarray, *, subset: str = "fused", percent: float = 1, shots: int | None = None):
    return ProbeRow(
        source=source, subset=subset, method="linear", percent=percent, num_labels=60, shots=shots,
        accuracies=(float(correct.mean()),), f1_macro=0.5, recall_min=0.1, interval=None, chosen=(1.0,), held_out=0.5,
        confusion=np.zeros((2, 2), np.int64), correct=correct.astype(np.float64),
    )  # fmt: skip


def planted(accuracy: float, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Right or wrong at random, with a level of each group that methods do not share."""
    names, member = np.unique(groups, return_inverse=True)
    level = np.clip(accuracy + rng.normal(0, 0.05, len(names)), 0, 1)
    return rng.random(len(groups)) < level[member]


def gain_of(own: float, *controls: float, groups: np.ndarray = GROUPS, seed: int = 0) -> Gain:
    rng = np.random.default_rng(seed)
    names = ("features", "random_init", "third")
    rows = [row("probe", planted(own, groups, rng))]
    rows += [row(name, planted(share, groups, rng)) for name, share in zip(names, controls, strict=False)]
    (found,) = gains(rows, groups, seed=seed)
    return found


def test_a_planted_gain_is_claimed_over_the_strongest_control() -> None:
    found = gain_of(0.9, 0.7, 0.5)

    assert (found.finding, found.control, found.num_controls) == ("helps", "features", 2)
    assert found.difference == pytest.approx(0.2, abs=0.05)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < found.difference < found.high
    assert found.metrics() == {
        "probe/fused/linear/1/gain": found.difference,
        "probe/fused/linear/1/gain_low": found.low,
        "probe/fused/linear/1/gain_high": found.high,
    }
    numbers = f"(95 % interval {100 * found.low:.1f} to {100 * found.high:.1f})"
    points = f"+{100 * found.difference:.1f} points over hand-made features"
    assert found.sentence() == f"pretraining helps at 1 % labels: {points} {numbers}"


def test_a_planted_loss_is_claimed_as_such() -> None:
    assert gain_of(0.6, 0.8, 0.5).sentence().startswith("pretraining is worse at 1 % labels: -")


def test_fine_tuning_is_compared_with_the_network_from_scratch_under_its_own_name() -> None:
    rng = np.random.default_rng(0)
    tuned, scratch = (planted(share, GROUPS, rng) for share in (0.9, 0.7))
    compared = Gain(
        method="finetune", subset="fused", percent=10, shots=None, control="supervised", num_controls=1,
        num_groups=9, difference=0.0,
    )  # fmt: skip

    found = paired(compared, tuned, scratch, GROUPS, rng=rng)

    assert found.difference == pytest.approx(tuned.mean() - scratch.mean())
    assert found.metrics().keys() == {f"finetune/10/{name}" for name in ("gain", "gain_low", "gain_high")}
    points = f"+{100 * found.difference:.1f} points over supervised from scratch"
    assert found.sentence().startswith(f"pretraining helps for fine-tuning at 10 % labels: {points} (95 % interval ")
    few = compared.model_copy(update={"num_groups": LEAST_GROUPS - 1})
    assert paired(few, tuned, scratch, GROUPS, rng=rng).finding == "untested"


def test_equal_answers_are_no_gain() -> None:
    right = planted(0.7, GROUPS, np.random.default_rng(0))
    (found,) = gains([row("probe", right), row("features", right)], GROUPS, seed=0)

    assert found.sentence() == (
        "no difference shown at 1 % labels: +0.0 points over hand-made features (95 % interval 0.0 to 0.0)"
    )


def test_too_few_groups_claim_nothing_whatever_the_difference() -> None:
    few = np.repeat([f"s{i}" for i in range(LEAST_GROUPS - 1)], 40)
    found = gain_of(0.95, 0.3, groups=few)

    assert (found.finding, found.low, found.high, found.p_value) == ("untested", None, None, None)
    assert found.metrics().keys() == {"probe/fused/linear/1/gain"}
    assert "but the test split has 5 groups, and fewer than 6 cannot" in found.sentence()
    assert gain_of(0.95, 0.3, groups=np.repeat([f"s{i}" for i in range(LEAST_GROUPS)], 40)).finding == "helps"


@pytest.mark.parametrize("num_groups", [6, 9, 30])
@pytest.mark.parametrize("controls", [1, 3])
def test_without_a_difference_a_claim_is_made_at_most_once_in_twenty(num_groups: int, controls: int) -> None:
    groups = np.repeat([f"s{i}" for i in range(num_groups)], 20)
    found = [gain_of(0.7, *[0.7] * controls, groups=groups, seed=seed).finding for seed in range(200)]

    assert sum(finding != "unclear" for finding in found) <= 10


def test_metadata_and_other_streams_are_no_controls() -> None:
    right, wrong = np.ones(len(GROUPS)), np.zeros(len(GROUPS))
    rows = [row("probe", right), row("metadata", wrong), row("features", wrong, subset="imu")]

    assert gains(rows, GROUPS, seed=0) == []


def test_intervals_over_too_few_groups_are_warned_of_once() -> None:
    few = np.repeat(["s0", "s1"], 60)
    assert few_groups([gain_of(0.9, 0.5)]) == []
    assert few_groups([gain_of(0.9, 0.5, groups=few)] * 3 + [gain_of(0.9, 0.5)]) == [
        "The test split has 2 groups: intervals over fewer than 6 are too narrow, and tell no difference from chance."
    ]


def test_a_one_shot_draw_is_named_by_its_samples() -> None:
    right, wrong = np.ones(len(GROUPS)), np.zeros(len(GROUPS))
    (found,) = gains([row("probe", right, shots=1), row("features", wrong)], GROUPS, seed=0)

    assert "helps at 1 % labels (at least 1 per class): +100.0 points" in found.sentence()
    assert read_gains([found.model_dump()]) == [found]
    assert read_gains(None) == []


def numbers(source: str, errors: np.ndarray) -> RegressionRow:
    return RegressionRow(
        target="pace", source=source, subset="fused", percent=5, num_labels=60, r2s=(float(1 - (errors**2).mean()),),
        maes=(1.0,), r2_interval=None, mae_interval=None, alphas=(1.0,), validated=True, samples=1 - errors**2,
    )  # fmt: skip


def test_the_gain_of_a_number_is_that_of_r2() -> None:
    rng = np.random.default_rng(0)
    own, features, random = (scale * rng.normal(size=len(GROUPS)) for scale in (0.4, 0.8, 1.0))

    (found,) = target_gains(
        [
            numbers("probe", own),
            numbers("features", features),
            numbers("random_init", random),
            numbers("metadata", own),
        ],
        GROUPS,
        seed=0,
    )

    assert (found.method, found.target, found.control, found.num_controls) == ("regression", "pace", "features", 2)
    assert found.difference == pytest.approx((features**2).mean() - (own**2).mean())
    assert found.finding == "helps"
    assert found.metrics()["regression/pace/probe/fused/5/gain"] == found.difference
    assert found.sentence() == (
        f"pretraining helps for pace at 5 % labels: R2 {found.difference:+.3f} over hand-made features "
        f"(95 % interval {found.low:.3f} to {found.high:.3f})"
    )
    assert target_gain_lines([found]) == [found.sentence().capitalize().replace("r2", "R2") + "."]
    assert gain_lines([found], []) == []
    assert verdict([], [found]) == target_gain_lines([found])[0]


def test_the_gain_of_tuned_encoders_on_a_number_is_over_the_network_from_scratch() -> None:
    rng = np.random.default_rng(0)
    rows = [
        numbers(name, scale * rng.normal(size=len(GROUPS))) for name, scale in (("finetune", 0.4), ("supervised", 1))
    ]

    (found,) = target_gains(rows, GROUPS, seed=0, own="finetune")

    assert (found.method, found.target, found.control, found.num_controls) == ("regression", "pace", "supervised", 1)
    assert found.difference == pytest.approx(rows[0].samples.mean() - rows[1].samples.mean())
    assert found.metrics()["regression/pace/finetune/fused/5/gain"] == found.difference
    points = f"R2 {found.difference:+.3f} over supervised from scratch"
    assert found.sentence().startswith(f"pretraining helps for fine-tuning on pace at 5 % labels: {points}")
    assert target_gain_lines([found])[0].startswith("Pretraining helps for fine-tuning on pace")
    assert target_gains(rows[:1], GROUPS, seed=0, own="finetune") == []


def test_equal_errors_are_no_gain() -> None:
    rng = np.random.default_rng(0)
    errors = [0.8 * rng.normal(size=len(GROUPS)) for _ in range(2)]

    (found,) = target_gains([numbers("probe", errors[0]), numbers("features", errors[1])], GROUPS, seed=0)

    assert found.finding == "unclear"
