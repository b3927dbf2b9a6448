import io
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from pipeline.evaluate.cluster_browser import ClusterBrowser, cluster_browser
from pipeline.evaluate.cluster_choice import MAX_CLUSTERS, SAMPLES, ChosenCluster
from pipeline.evaluate.figure_style import PALETTE
from pipeline.evaluate.sample_sheet import MAX_CHANNELS, Sample
from pipeline.evaluate.shown_streams import Pictures, Series, ShownStream, Texts

NASTY = "$\\frac{_hidden\n" + "a" * 300


def browser(sizes: tuple[int, ...] = (3, 1), *, channels: int = 2, **more: ShownStream) -> ClusterBrowser:
    """Sample i has the photo of one colour i; the second one lacks its photo, the third one its imu."""
    count = sum(sizes)
    rng = np.random.default_rng(0)
    present, no_photo = np.ones(count, bool), np.ones(count, bool)
    present[2 % count], no_photo[1 % count] = False, False
    streams: dict[str, ShownStream] = {
        "imu": Series(rng.normal(size=(count, channels, 40)), present, [f"acc_{c}" for c in range(channels)], 20.0),
        "photo": Pictures(np.repeat(np.arange(count * 3, dtype=np.uint8), 16).reshape(count, 4, 4, 3), no_photo),
        "note": Texts([f"note number {i}" for i in range(count)], np.ones(count, bool)),
        **more,
    }
    starts = np.cumsum((0, *sizes))
    clusters = [
        ChosenCluster(7 + n, ("largest", "purest") if n == 0 else (), 10 * size, size / count, "walk", 0.75,
                      tuple(range(starts[n], starts[n] + size)))
        for n, size in enumerate(sizes)
    ]  # fmt: skip
    return ClusterBrowser("imu", clusters, [Sample(f"key-{i}", "walk", f"s{i}") for i in range(count)], streams)


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in (*figure.texts, *(t for axes in figure.axes for t in axes.texts))]


def pixels(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return np.asarray(Image.open(buffer).convert("L"))


def test_every_sample_is_drawn_as_what_it_is_with_its_names_under_it() -> None:
    data = browser()
    figure = cluster_browser(data)

    images = [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]
    photo = data.streams["photo"]
    assert isinstance(photo, Pictures)
    np.testing.assert_array_equal(images, photo.values[[0, 2, 3]])
    assert sum(len(axes.lines) for axes in figure.axes) == 3 * 2
    shown = words(figure)
    assert [text for text in shown if text.startswith("key")] == [f"key-{i}\nwalk · s{i}" for i in range(4)]
    assert [" ".join(t.split()) for t in shown if t.startswith("note")] == [f"note number {i}" for i in range(4)]
    assert [text for text in shown if text.startswith("no ")] == ["no photo", "no imu"]
    assert [text for text in shown if text.startswith("cluster")] == [
        "cluster 7   ·   largest, purest   ·   30 samples (75.0 %)   ·   75 % are walk",
        "cluster 8   ·   10 samples (25.0 %)   ·   75 % are walk",
    ]
    assert shown.count("acc_1") == 2
    assert sum("0–2 s" in text for text in shown) == 2


def test_channels_have_a_colour_each_and_one_scale_in_all_samples() -> None:
    values = np.zeros((4, 2, 50), np.float32)
    values[0, 0] = np.sin(np.linspace(0, 6, 50))
    values[1, 0] = 0.5 * values[0, 0]
    values[:, 1] = 1000.0
    values[3, :, 10:20] = np.nan
    figure = cluster_browser(browser(imu=Series(values, np.ones(4, bool), ["x", "y"], 10.0)))

    lines = [axes.lines for axes in figure.axes if axes.lines]
    assert {tuple(to_hex(line.get_color()) for line in pair) for pair in lines} == {
        tuple(c.lower() for c in PALETTE[:2])
    }
    first, second = (np.ptp(pair[0].get_ydata()) for pair in lines[:2])
    assert second == pytest.approx(first / 2, rel=0.05)
    np.testing.assert_allclose(lines[0][1].get_ydata(), -1)
    assert np.flatnonzero(np.isnan(lines[3][0].get_ydata())).tolist() == list(range(10, 20))


def test_an_outlier_does_not_reach_into_other_channels() -> None:
    values = np.random.default_rng(0).normal(size=(4, 3, 200))
    values[0, 1, 5] = 1e9
    figure = cluster_browser(browser(imu=Series(values, np.ones(4, bool), ["x", "y", "z"], 10.0)))

    for axes in figure.axes:
        for channel, line in enumerate(axes.lines):
            assert np.abs(np.asarray(line.get_ydata()) + channel).max() < 0.6


def test_channels_beyond_the_room_are_counted() -> None:
    figure = cluster_browser(browser(channels=MAX_CHANNELS + 5))

    assert {len(axes.lines) for axes in figure.axes if axes.lines} == {MAX_CHANNELS}
    assert "+5" in words(figure)


@pytest.mark.parametrize("extra", [0, 1, 12])
def test_panels_stay_inside_and_apart_however_many_streams_there_are(extra: int) -> None:
    sizes = (SAMPLES,) * MAX_CLUSTERS
    count = sum(sizes)
    values, seen = np.zeros((count, 30, 5), np.float32), np.ones(count, bool)
    more: dict[str, ShownStream] = {
        f"s{n}": Series(values, seen, [f"c{c}" for c in range(30)], 1.0) for n in range(extra)
    }
    figure = cluster_browser(browser(sizes, **more))

    places = [axes.get_position() for axes in figure.axes]
    assert len(places) == count * (3 + extra)
    assert all(p.x0 >= 0 and p.y0 >= 0 and p.x1 <= 1 and p.y1 <= 1 for p in places)
    row = [p for p in places if p.y0 > 1 - 1 / MAX_CLUSTERS]
    apart = 1e-9
    assert not [
        (p, q)
        for p, q in combinations(row, 2)
        if min(p.x1, q.x1) - max(p.x0, q.x0) > apart and min(p.y1, q.y1) - max(p.y0, q.y0) > apart
    ]
    assert figure.get_figheight() < 60


def test_untrusted_names_are_text_and_stay_in_their_place() -> None:
    data = browser((1,))
    nasty = ChosenCluster(1, (), 1, 1.0, NASTY, 1.0, (0,))
    streams = {**data.streams, "note": Texts([NASTY], np.ones(1, bool))}
    figure = cluster_browser(ClusterBrowser(NASTY, [nasty], [Sample(NASTY, NASTY, NASTY)], streams))

    drawn = pixels(figure)

    width = drawn.shape[1]
    assert drawn[:, -width // 8 :].min() == 255, "a single sample leaves the right side empty"
    assert all(len(line) < 120 for text in words(figure) for line in text.split("\n"))


def test_a_label_has_the_room_that_its_subject_leaves() -> None:
    data = browser((1,))
    long = Sample("key", "untwist_then_lower", "s022")
    shown = words(cluster_browser(ClusterBrowser("imu", data.clusters, [long], data.streams)))

    assert "key\nuntwist_then_lower · s022" in shown


def test_streams_of_one_kind_only_and_no_names() -> None:
    texts = Texts(["a", "b"], np.ones(2, bool))
    clusters = [ChosenCluster(0, (), 2, 1.0, "", None, (0, 1))]
    figure = cluster_browser(
        ClusterBrowser("note", clusters, [Sample("k0", "", ""), Sample("k1", "", "")], {"n": texts})
    )

    assert "cluster 0   ·   2 samples (100.0 %)" in words(figure)
    assert pixels(figure).std() > 5


def test_no_cluster_is_still_a_figure() -> None:
    assert pixels(cluster_browser(ClusterBrowser("imu", [], [], {}))).min() == 255
