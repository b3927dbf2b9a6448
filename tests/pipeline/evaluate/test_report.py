import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.evaluate.cluster_agreement import Agreement, SpaceSummary
from pipeline.evaluate.gain import Gain
from pipeline.evaluate.report import ReportData, render_report, report_plots, save_plots
from pipeline.evaluate.results import ResultRow
from pipeline.evaluate.verdict import verdict
from tests.pipeline.evaluate.full_report import full, lines_of, relation, rows, summary

ATTACK = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}'


class Page(HTMLParser):
    """Tags, attribute values and text of a page; checks that tags nest."""

    void = frozenset({"meta", "img"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "action", "data", "srcset"}]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


@pytest.mark.fault("S10")
def test_names_are_escaped_everywhere() -> None:
    page = Page(render_report(full(ATTACK)))

    assert "script" not in page.tags
    assert set(page.links) == {link for link in page.links if link.startswith("data:image/png;base64,")}
    assert ATTACK in page.texts
    assert f"Clusters of {ATTACK} follow {ATTACK} (AMI 0.62) more than the label activity (AMI 0.31)." in page.texts
    assert f"{ATTACK} encodes {ATTACK}." in page.texts
    assert not any(text == "49" for text in page.texts)


def test_the_page_asks_for_nothing_outside_itself() -> None:
    html = render_report(full())

    assert "default-src 'none'" in html
    assert not re.search(r"https?://|url\(|@import|<link|<script", html)


def test_the_table_puts_each_number_where_it_belongs() -> None:
    html = render_report(ReportData(title="t", description="", rows=rows(), chance=0.25))

    table = [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in re.findall(r"<tr.*?</tr>", html, re.DOTALL)]
    assert table == [
        "Labels 1 % ≥ 2 a class 100 %",
        "Kindred, linear probe 50.0 ± 2.0 91.2 90.0–92.5 F1 90.7",
        "Hand-made features 70.0",
        "Metadata only 95.0",
        "Labels 100 %",
        "Kindred, linear probe 80.0",
    ]
    assert re.findall(r'class="best">([^<]+)', html) == ["50.0", "91.2", "80.0"]
    assert verdict(rows()) in html
    assert "largest class gives 25.0 %" in html


def test_values_that_look_equal_are_equally_bold() -> None:
    equal = [ResultRow("linear", "fused", 100, 0.13301), ResultRow("features", "fused", 100, 0.13299)]

    html = render_report(ReportData(title="t", description="", rows=[*equal, ResultRow("knn", "fused", 100, 0.1)]), [])

    assert re.findall(r'class="best">([^<]+)', html) == ["13.3", "13.3"]


def test_pseudo_labels_have_a_line_per_space_and_a_sentence_on_what_they_follow() -> None:
    summaries = [summary("imu", "device"), summary("fused", "device", ami=-0.002)]
    html = render_report(
        ReportData(title="t", description="", rows=[], label="activity", pseudo_labels=summaries), plots=[]
    )

    assert lines_of(html, "Pseudo-labels") == [
        "Clusters of number sizes largest share activity label device group site group",
        "imu 3 2 samples in none 1–6 median 2 66.7 % 0.31 NMI 0.40 0.62 NMI 0.70 –",
        "fused 3 2 samples in none 1–6 median 2 66.7 % 0.31 NMI 0.40 0.00 NMI 0.70 –",
    ]
    assert re.findall(r'class="best">([^<]+)', html) == ["0.62", "0.31"]
    assert re.findall(r"<li>([^<]+)", html) == [
        "Clusters of imu follow device (AMI 0.62) more than the label activity (AMI 0.31).",
        "Clusters of fused follow the label activity (AMI 0.31) more than any group (at most device, AMI 0.00).",
    ]


def test_clusters_that_follow_nothing_have_no_best_column() -> None:
    agreements = (Agreement("activity", "label", 9, 3, 0.2, 0.01), Agreement("device", "group", 9, 3, 0.1, -0.01))
    empty = SpaceSummary("note", 9, (), (Agreement("activity", "label", 0, 0, None, None), agreements[1]))
    summaries = [SpaceSummary("imu", 0, (9,), agreements), empty]
    data = ReportData(title="t", description="", rows=[], label="activity", pseudo_labels=summaries)

    html = render_report(data, plots=[])

    assert 'class="best"' not in html
    assert lines_of(html, "Pseudo-labels")[2] == "note 0 9 samples in none 0.0 % – -0.01 NMI 0.10"


def test_gains_stand_below_the_table_they_are_about() -> None:
    found = Gain(
        subset="fused", percent=100, shots=None, control="features", num_controls=2, num_groups=9,
        difference=0.212, low=0.2, high=0.225, p_value=0.004,
    )  # fmt: skip
    html = render_report(ReportData("a", "", rows(), gains=[found]), [])

    said = "Pretraining helps at 100 % labels: +21.2 points over hand-made features (95 % interval 20.0 to 22.5)."
    assert html.index("<h2>Results") < html.index("Does pretraining help?") < html.index(f"<li>{said}</li>")
    assert "Does pretraining help?" not in render_report(ReportData("a", "", rows()), [])


def test_relations_have_a_line_each_and_their_verdict() -> None:
    relations = {"gear": relation("device"), "day": relation("session", is_nuisance=False)}
    html = render_report(ReportData(title="t", description="", rows=[], relations=relations), plots=[])

    assert lines_of(html, "Relations") == [
        "Relation links mean degree isolated parts device site session",
        "gear same 480 15.0 12.5 % 4 largest 16 0.98 chance 0.25 edge 0.50, maj 0.25 – –",
        "day same 480 15.0 12.5 % 4 largest 16 – – 0.98 chance 0.25 edge 0.50, maj 0.25",
    ]
    found = [" ".join(re.sub(r"<[^>]+>", " ", item).split()) for item in re.findall(r"<li>.*?</li>", html, re.DOTALL)]
    outside = "3 rows touch samples outside the pretraining split and were dropped"
    assert found == [
        f"gear encodes device. It encodes nuisance columns only. {outside}",
        f"day encodes session. {outside}",
    ]


def test_a_wide_figure_gets_the_width_of_the_page() -> None:
    data = full()
    html = render_report(data)
    wide = re.findall(r'<figure class="wide" tabindex="0"><img src="data:image/png;base64,([^"]+)', html)

    assert [base64.b64decode(picture) for picture in wide] == [
        plot.png for plot in report_plots(data) if plot.section in {"clusters", "retrieval"}
    ]
    assert Image.open(io.BytesIO(base64.b64decode(wide[0]))).width >= 1150


def test_every_plot_is_in_the_page_and_saved_as_the_same_picture(tmp_path: Path) -> None:
    plots = report_plots(full())
    html = render_report(full(), plots)
    pictures = [base64.b64decode(payload) for payload in re.findall(r"data:image/png;base64,([^\"]+)", html)]

    saved = save_plots(plots, tmp_path / "figures")

    assert [plot.name for plot in plots] == [
        "label_efficiency_fused",
        "label_efficiency_imu",
        "confusion_0",
        "embedding_0_label",
        "embedding_0_demo",
        "clusters_demo",
        "retrieval_demo-imu",
        "pretrain_loss",
        "pretrain_health",
    ]
    assert sorted(pictures) == sorted(path.read_bytes() for path in saved.values())
    for picture in pictures:
        image = Image.open(io.BytesIO(picture))
        assert image.width > 700
        assert np.asarray(image.convert("L")).std() > 5


@pytest.mark.parametrize("name", ["../../etc/x", "a/b", "ü"])
def test_files_of_odd_names_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    data = ReportData(title="t", description="", rows=[ResultRow("linear", name, 100, 0.5)])

    saved = save_plots(report_plots(data), tmp_path)

    assert {path.parent for path in saved.values()} == {tmp_path}


def test_an_empty_run_still_has_a_report() -> None:
    page = Page(render_report(ReportData(title="nothing yet", description="", rows=[])))

    assert "No probe has been run." in page.texts
    assert "table" not in page.tags
    assert "img" not in page.tags


def test_the_same_data_gives_the_same_bytes() -> None:
    assert render_report(full()) == render_report(full())
