import numpy as np
from matplotlib.colors import to_hex

from pipeline.evaluate.figure_style import BLUE, GREY, VERMILLION
from pipeline.evaluate.retrieval_browser import RetrievalBrowser, retrieval_browser, shown_samples
from pipeline.evaluate.retrieval_examples import Neighbour, RetrievalExample, RetrievalExamples
from pipeline.evaluate.sample_sheet import Sample
from pipeline.evaluate.shown_streams import Texts


def browser(*examples: RetrievalExample, found: str = "note") -> RetrievalBrowser:
    retrieval = RetrievalExamples(("note",), (found,), examples)
    idx = shown_samples(retrieval)
    samples = [Sample(f"key-{i}", "walk", "s1") for i in idx]
    return RetrievalBrowser(retrieval, samples, {"note": Texts([f"text {i}" for i in idx], np.ones(len(idx), bool))})


def words(data: RetrievalBrowser) -> dict[str, str]:
    """What is written outside the panels -> its colour."""
    return {text.get_text(): to_hex(text.get_color()).upper() for text in retrieval_browser(data).texts}


def test_every_neighbour_is_said_to_be_right_or_wrong_beside_its_query():
    data = browser(
        RetrievalExample(7, 2, 40, (Neighbour(3, 0.91, False, False), Neighbour(4, 0.5, True, True))),
        RetrievalExample(8, 1, 39, (Neighbour(5, 1.0, True, True),)),
    )

    shown = words(data)

    assert shown["1  wrong  0.91"] == VERMILLION
    assert shown["2  right  0.50"] == BLUE
    assert "1  right  1.00" in shown
    assert [text for text in shown if "rank" in text] == [
        "walk   ·   miss   ·   the first of its label is at rank 2 of 40",
        "walk   ·   hit   ·   the first of its label is at rank 1 of 39",
    ]
    figure = retrieval_browser(data)
    assert [t.get_text() for t in figure.texts if t.get_text() == "query"] == ["query"] * 2
    assert [axes.texts[0].get_text() for axes in figure.axes] == [f"text {i}" for i in (7, 3, 4, 8, 5)]


def test_across_streams_the_sample_itself_is_told_from_one_of_its_label():
    neighbours = (Neighbour(3, 0.9, False, True), Neighbour(4, 0.8, False, None), Neighbour(7, 0.7, True, True))
    shown = words(browser(RetrievalExample(7, 3, 40, neighbours), found="imu"))

    assert shown["1  right  0.90"] == BLUE
    assert shown["2  no label  0.80"] == GREY
    assert "3  itself  0.70" in shown
    assert "walk   ·   miss   ·   the sample itself is at rank 3 of 40" in shown
