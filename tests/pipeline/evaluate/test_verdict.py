import pytest

from pipeline.evaluate.gain import Gain
from pipeline.evaluate.results import ResultRow
from pipeline.evaluate.verdict import gain_lines, verdict

LINEAR = ResultRow("linear", "fused", 100, 0.9, low=0.88, high=0.92)
FEATURES = ResultRow("features", "fused", 100, 0.89, low=0.87, high=0.91)
SUPERVISED = ResultRow("supervised", "fused", 100, 0.95, low=0.94, high=0.96)


def gain(subset: str = "fused") -> Gain:
    return Gain(
        subset=subset, percent=100, shots=None, control="features", num_controls=2, num_groups=9,
        difference=0.01, low=0.005, high=0.015, p_value=0.01,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("linear", "control", "said"),
    [
        (0.90, 0.80, "reaches 90.0 %, 10.0 points above the best control (hand-made features, 80.0 %)."),
        (0.70, 0.80, "reaches 70.0 %, 10.0 points below the best control (hand-made features, 80.0 %)."),
        (0.81, 0.80, "within the uncertainty of the best control (hand-made features, 80.0 %)."),
    ],
)
def test_the_verdict_says_what_the_numbers_say(linear: float, control: float, said: str) -> None:
    rows = [
        ResultRow("linear", "fused", 100, linear, sd=0.02),
        ResultRow("features", "fused", 100, control, sd=0.02),
        ResultRow("metadata", "fused", 100, 0.99),
        ResultRow("features", "imu", 100, 0.99),
    ]

    assert said in verdict(rows)


def test_intervals_decide_before_spreads() -> None:
    rows = [
        ResultRow("linear", "fused", 1, 0.9, sd=0.5, low=0.89, high=0.91, shots=1),
        ResultRow("features", "fused", 1, 0.8, sd=0.5, low=0.79, high=0.81),
    ]

    assert verdict(rows).startswith("With 1 % of the labels (at least 1 per class) the linear probe")
    assert "10.0 points above" in verdict(rows)


def test_a_verdict_without_probe_or_control_says_so() -> None:
    assert verdict([]) == "No probe has been run."
    assert verdict([ResultRow("linear", "fused", 100, 0.5)]).endswith("no control was run.")


def test_a_paired_difference_decides_before_intervals_that_overlap() -> None:
    assert "within the uncertainty" in verdict([LINEAR, FEATURES])
    assert verdict([LINEAR, FEATURES], [gain()]) == (
        "With 100 % of the labels the linear probe reaches 90.0 %; pretraining helps at 100 % labels: +1.0 points over "
        "hand-made features (95 % interval 0.5 to 1.5)."
    )


def test_a_stronger_control_of_another_stage_is_what_the_verdict_names() -> None:
    assert "5.0 points below the best control (supervised from scratch, 95.0 %)" in verdict(
        [LINEAR, FEATURES, SUPERVISED], [gain()]
    )


def test_lines_are_of_all_streams_and_show_the_supervised_control() -> None:
    alone = gain_lines([gain(), gain("imu")], [LINEAR, FEATURES])
    beside = gain_lines([gain()], [LINEAR, FEATURES, SUPERVISED])

    assert alone == [
        "Pretraining helps at 100 % labels: +1.0 points over hand-made features (95 % interval 0.5 to 1.5)."
    ]
    assert beside[0].endswith("; supervised from scratch reaches 95.0 % against 90.0 % of the probe, not paired.")
