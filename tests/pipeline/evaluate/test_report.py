import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.evaluate.figures import Confusion, EmbeddingMap
from pipeline.evaluate.report import ReportData, render_report, report_plots, save_plots
from pipeline.evaluate.results import ResultRow, verdict

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


def rows() -> list[ResultRow]:
    return [
        ResultRow("linear", "fused", 1, 0.5, sd=0.02, shots=2),
        ResultRow("linear", "fused", 100, 0.912, low=0.9, high=0.925, f1=0.907),
        ResultRow("features", "fused", 100, 0.7),
        ResultRow("metadata", "fused", 100, 0.95),
        ResultRow("linear", "imu", 100, 0.8),
    ]


def full(name: str = "demo") -> ReportData:
    return ReportData(
        title=name,
        description=name,
        rows=rows(),
        history={"pretrain/loss/total": [(1, 1.0), (2, 0.5)], f"pretrain/health/{name}/std": [(1, 1.0)]},
        maps=[EmbeddingMap(name, np.eye(2), {"label": [name, "b"], name: ["c", "d"]})],
        confusions=[Confusion(name, np.eye(2, dtype=int), [name, "b"])],
        chance=0.25,
        warnings=[name],
        provenance={name: name},
        config=f"name: {name}",
    )


@pytest.mark.fault("S10")
def test_names_are_escaped_everywhere() -> None:
    page = Page(render_report(full(ATTACK)))

    assert "script" not in page.tags
    assert set(page.links) == {link for link in page.links if link.startswith("data:image/png;base64,")}
    assert ATTACK in page.texts
    assert not any(text == "49" for text in page.texts)


def test_the_page_asks_for_nothing_outside_itself() -> None:
    html = render_report(full())

    assert "default-src 'none'" in html
    assert not re.search(r"https?://|url\(|@import|<link|<script", html)


def test_the_table_puts_each_number_where_it_belongs() -> None:
    html = render_report(ReportData(title="t", description="", rows=rows(), chance=0.25))

    table = [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in re.findall(r"<tr.*?</tr>", html, re.DOTALL)]
    assert table == [
        "Labels 2-shot 100 %",
        "Kindred, linear probe 50.0 ± 2.0 91.2 90.0–92.5 F1 90.7",
        "Hand-made features 70.0",
        "Metadata only 95.0",
        "Labels 100 %",
        "Kindred, linear probe 80.0",
    ]
    assert re.findall(r'class="best">([^<]+)', html) == ["50.0", "91.2", "80.0"]
    assert verdict(rows()) in html
    assert "largest class gives 25.0 %" in html


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
