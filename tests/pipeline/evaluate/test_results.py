from pipeline.evaluate.results import CONTROLS, TITLES, ResultRow, rows_from_metrics


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


def test_shares_that_give_a_class_one_sample_each_are_told_apart() -> None:
    rows = [ResultRow("linear", "fused", percent, 0.5, shots=shots) for percent, shots in ((1, 1), (5, 1), (10, None))]

    assert [row.labels for row in rows] == ["1 % (≥ 1 a class)", "5 % (≥ 1 a class)", "10 %"]
