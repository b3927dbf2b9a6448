import pytest

from pipeline.evaluate.results import CONTROLS, TITLES, ResultRow, rows_from_metrics, verdict


def test_rows_come_from_the_flat_names_in_table_order() -> None:
    metrics = {
        "control/features/imu-photo/10/accuracy": 0.5,
        "probe/imu-photo/knn/10/accuracy": 0.6,
        "probe/fused/linear/100/accuracy": 0.9,
        "probe/fused/linear/100/accuracy_sd": 0.01,
        "probe/fused/linear/100/accuracy_low": 0.88,
        "probe/fused/linear/100/accuracy_high": 0.92,
        "probe/fused/linear/100/f1_macro": 0.89,
        "probe/fused/linear/0.5/accuracy": 0.4,
        "probe/fused/linear/0.5/shots": 1,
        "finetune/100/accuracy": 0.95,
        "pretrain/loss/total": 1.0,
        "probe/fused/linear/25/f1_macro": 0.1,
        "control/magic/fused/10/accuracy": 0.1,
    }

    assert rows_from_metrics(metrics) == [
        ResultRow("finetune", "fused", 100, 0.95),
        ResultRow("linear", "fused", 0.5, 0.4, shots=1),
        ResultRow("linear", "fused", 100, 0.9, sd=0.01, low=0.88, high=0.92, f1=0.89),
        ResultRow("knn", "imu-photo", 10, 0.6),
        ResultRow("features", "imu-photo", 10, 0.5),
    ]


def test_every_method_has_a_title_and_controls_come_last() -> None:
    assert tuple(TITLES)[-len(CONTROLS) :] == CONTROLS


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

    assert verdict(rows).startswith("With 1 labelled sample per class the linear probe")
    assert "10.0 points above" in verdict(rows)


def test_a_verdict_without_probe_or_control_says_so() -> None:
    assert verdict([]) == "No probe has been run."
    assert verdict([ResultRow("linear", "fused", 100, 0.5)]).endswith("no control was run.")
