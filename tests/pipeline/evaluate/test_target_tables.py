"""Tables of the report on targets beside the label: numbers, sets of tags, single steps."""

from dataclasses import replace

from pipeline.evaluate.gain import Gain
from pipeline.evaluate.regression_lines import RegressionFigure, RegressionLine
from pipeline.evaluate.report import render_report
from tests.pipeline.evaluate.full_report import full, lines_of


def test_regression_stands_beside_its_controls() -> None:
    table = lines_of(render_report(full()), "Regression")

    assert table[:3] == [
        "Target streams labels Kindred Hand-made features Metadata only",
        "demo demo 10 % 0.500 -0.250 to 0.750 MAE 1.2 – –",
        "effort fused 100 % 0.900 MAE 0.31 0.900 MAE 0.31 0.900 MAE 0.31",
    ]


def test_tuned_encoders_and_the_network_from_scratch_stand_beside_the_probe() -> None:
    figures = {"supervised": RegressionFigure(0.25, 0.0, 0.5, 2.0), "finetune": RegressionFigure(0.75, None, None, 1.0)}
    lines = [RegressionLine("effort", "fused", 10, figures), *full().regression]

    table = lines_of(render_report(replace(full(), regression=lines)), "Regression")

    titles = "Kindred Kindred, fine-tuned Supervised from scratch Hand-made features Metadata only"
    assert table[:2] == [
        f"Target streams labels {titles}",
        "effort fused 10 % – 0.750 MAE 1 0.250 0.000 to 0.500 MAE 2 – –",
    ]


def test_sets_of_tags_have_a_table_of_their_own() -> None:
    table = lines_of(render_report(full()), "Sets of tags")

    assert table[:2] == [
        "Target streams labels Kindred",
        "demo demo 10 % 0.750 0.700 to 0.800 F1 macro 0.500 (0.250 to 0.625) micro 0.700, whole sets 0.125",
    ]


def test_gains_of_targets_stand_below_their_tables() -> None:
    found = Gain(
        method="regression", target="effort", subset="fused", percent=100, shots=None, control="features",
        num_controls=2, num_groups=9, difference=0.212, low=0.2, high=0.225, p_value=0.004,
    )  # fmt: skip
    html = render_report(replace(full(), gains=[found]), [])

    said = "Pretraining helps for effort at 100 % labels: R2 +0.212 over hand-made features"
    assert html.index("<h2>Regression") < html.index("<h2>Sets of tags") < html.index(f"<li>{said}")
    assert "Does pretraining help?" not in html


def test_steps_stand_beside_their_controls() -> None:
    table = lines_of(render_report(full()), "Steps")

    assert table[:3] == [
        "Target stream labels score Kindred Random encoder Raw steps",
        "demo imu 50 % frame accuracy 0.750 0.700 to 0.800 – 0.500",
        "demo imu 50 % macro F1 0.750 – 0.500",
    ]
    assert table[6] == "demo imu 50 % F1@50 0.750 – 0.500"
