import math

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer

from pipeline.evaluate.figure_style import METHOD_STYLE, PALETTE
from pipeline.evaluate.figures import (
    Confusion,
    EmbeddingMap,
    collapse_monitors,
    confusion_matrix,
    embedding_map,
    label_efficiency,
    learning_rate,
    loss_terms,
    throughput,
)
from pipeline.evaluate.results import TITLES, ResultRow

NASTY = ("_hidden", "$\\frac{", "a" * 200, "<b>", "日本")


def legend_of(figure) -> list[str]:
    legend = figure.axes[0].get_legend() or figure.legends[0]
    return [text.get_text() for text in legend.get_texts()]


def test_loss_terms_show_the_logged_points_and_gaps_where_there_is_no_number() -> None:
    history = {
        "pretrain/loss/intra/imu": [(1, 3.0), (2, math.inf), (3, 1.0)],
        "pretrain/loss/cross/imu-photo": [(1, 4.0), (2, 3.0), (3, 2.0)],
        "pretrain/loss/total": [(1, 3.5), (2, 2.5), (3, 1.5)],
        "finetune/loss/total": [(1, 9.0)],
    }

    figure = loss_terms(history, "pretrain")

    assert figure is not None
    assert legend_of(figure) == ["cross/imu-photo", "intra/imu", "weighted total"]
    cross, intra, total = figure.axes[0].get_lines()
    np.testing.assert_array_equal(intra.get_ydata(), [3.0, np.nan, 1.0])
    np.testing.assert_array_equal(cross.get_xdata(), [1, 2, 3])
    assert to_hex(total.get_color()) == "#000000"
    assert total.get_linewidth() > cross.get_linewidth()


def test_a_single_term_is_drawn_once() -> None:
    points = [(1, 1.0), (2, 0.5)]

    figure = loss_terms({"finetune/loss/cross_entropy": points, "finetune/loss/total": points}, "finetune")

    assert figure is not None
    assert len(figure.axes[0].get_lines()) == 1


def test_collapse_monitors_have_a_panel_each_a_line_per_stream_and_the_alarm_level() -> None:
    history = {
        f"pretrain/health/{stream}/{monitor}": [(50, 0.5), (100, 0.9)]
        for stream in ("imu", "photo")
        for monitor in ("std", "rank_share", "mean_cosine", "alignment")
    }

    figure = collapse_monitors(history)

    assert figure is not None
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title.split()[0] for title in titles] == ["std", "effective", "squared", "alignment"]
    assert [len(axes.get_lines()) for axes in figure.axes] == [3, 3, 3, 2]
    assert list(figure.axes[0].get_lines()[2].get_ydata()) == [0.3, 0.3]
    assert legend_of(figure) == ["imu", "photo"]
    first, second = ([to_hex(line.get_color()) for line in axes.get_lines()[:2]] for axes in figure.axes[:2])
    assert first == second


def test_embedding_map_gives_every_group_its_own_look_and_loses_no_point() -> None:
    names = [f"{number % 11}" for number in range(220)]
    xy = np.random.default_rng(0).normal(size=(220, 2))

    figure = embedding_map(EmbeddingMap("fused", xy, {"subject": names}), "subject")

    drawn = np.concatenate([np.asarray(c.get_offsets()) for c in figure.axes[0].collections])
    looks = {(to_hex(c.get_facecolor()[0]), len(c.get_paths()[0].vertices)) for c in figure.axes[0].collections}
    assert legend_of(figure) == [str(number) for number in range(11)]
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(xy, axis=0))
    assert len(looks) == 11


def test_embedding_map_greys_out_what_is_beyond_the_legend() -> None:
    names = [f"s{number}" for number in range(40)] + ["s0"] * 5

    figure = embedding_map(EmbeddingMap("fused", np.zeros((45, 2)), {"subject": names}), "subject")

    assert len(legend_of(figure)) == 25
    assert legend_of(figure)[-1] == "16 others"


def test_confusion_matrix_shows_shares_of_the_true_class() -> None:
    counts = np.array([[3, 1, 0], [0, 10, 0], [0, 0, 0]])

    figure = confusion_matrix(Confusion("fused", counts, ["walk", "run", "never"]))

    axes = figure.axes[0]
    shown = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
    assert shown == {(0, 0): "75", (1, 0): "25", (1, 1): "100"}
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["walk  (4)", "run  (10)", "never  (0)"]


def test_label_efficiency_has_intervals_and_the_colours_of_the_methods() -> None:
    rows = [
        ResultRow("linear", "fused", 100, 0.9, low=0.85, high=0.92),
        ResultRow("linear", "fused", 1, 0.6, sd=0.1),
        ResultRow("random_init", "fused", 1, 0.3),
        ResultRow("linear", "imu", 1, 0.1),
    ]

    figure = label_efficiency(rows, "fused", chance=0.25)

    assert figure is not None
    axes = figure.axes[0]
    linear, control = (c for c in axes.containers if isinstance(c, ErrorbarContainer))
    (line, _, (bars,)) = linear
    np.testing.assert_allclose(line.get_xydata(), [[1, 60], [100, 90]])
    np.testing.assert_allclose([segment[:, 1] for segment in bars.get_segments()], [[50, 70], [85, 92]])
    assert (line.get_color(), line.get_linestyle()) == (METHOD_STYLE["linear"][0], "-")
    assert (control[0].get_color(), control[0].get_linestyle()) == (METHOD_STYLE["random_init"][0], "--")
    assert legend_of(figure) == [TITLES["linear"], TITLES["random_init"], "largest class"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1 %", "100 %"]


def test_every_method_has_its_own_colour_and_marker() -> None:
    assert METHOD_STYLE.keys() == TITLES.keys()
    assert len({colour for colour, _ in METHOD_STYLE.values()}) == len(METHOD_STYLE)
    assert len({marker for _, marker in METHOD_STYLE.values()}) == len(METHOD_STYLE)


def test_palette_is_told_apart_in_grey_or_by_colour_blind_eyes() -> None:
    """Machado et al. 2009 (doi 10.1109/TVCG.2009.113), severity 1: no two colours of the first six come close."""
    protan = np.array([0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998])
    deutan = np.array([0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.011820, 0.042940, 0.968881])
    rgb = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in PALETTE[:6]])
    for matrix in (np.eye(3), protan.reshape(3, 3), deutan.reshape(3, 3)):
        seen = (rgb**2.2) @ matrix.T
        distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1)[~np.eye(6, dtype=bool)]
        assert distances.min() > 0.1


def test_untrusted_names_are_text_not_markup() -> None:
    figure = embedding_map(EmbeddingMap("$x$", np.zeros((5, 2)), {"label": NASTY}), "label")
    confusion = confusion_matrix(Confusion("t", np.eye(5, dtype=int), NASTY))

    for drawn in (figure, confusion):
        drawn.canvas.draw()
    shown = legend_of(figure)
    assert len(shown) == 5
    assert any(name.strip() == "_hidden" for name in shown)
    assert "$\\frac{" in shown
    assert max(map(len, shown)) <= 20


@pytest.mark.parametrize("draw", [loss_terms, learning_rate])
def test_nothing_logged_is_no_figure(draw) -> None:
    assert draw({}, "pretrain") is None


def test_nothing_measured_is_no_figure() -> None:
    assert throughput({}) is None
    assert collapse_monitors({}) is None
    assert label_efficiency([], "fused") is None


def test_rates_start_at_zero() -> None:
    history = {"pretrain/learning_rate": [(1, 1e-4), (2, 2e-4)], "pretrain/samples_per_s": [(1, 90.0), (2, 100.0)]}
    for figure in (learning_rate(history, "pretrain"), throughput(history)):
        assert figure is not None
        assert figure.axes[0].get_ylim()[0] == 0
