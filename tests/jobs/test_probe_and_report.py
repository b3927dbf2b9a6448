"""The probe and report stages of a tiny run, with and without pseudo-labels and relations."""

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity

from jobs._run_folder import read_json
from jobs.assemble import Dataset, open_dataset, source_of
from jobs.probe import probe
from jobs.report import report, report_data
from jobs.stages import Context
from pipeline.errors import DataError
from pipeline.evaluate.features import read_features
from pipeline.evaluate.fusion import fuse
from pipeline.evaluate.gain import read_gains
from pipeline.evaluate.pseudo_labels import PSEUDO_LABELS_NAME, PseudoLabels, write_pseudo_labels
from pipeline.evaluate.report import report_plots
from pipeline.evaluate.shown_streams import Pictures, Series, Texts
from tests.jobs.tiny_run import context_of, finish


def pseudo_labels(folder: Path, context: Context) -> tuple[Dataset, np.ndarray]:
    """photo: the subject; note: the label, except of the first sample, which has none."""
    dataset = open_dataset(source_of(context.recipe))
    train = dataset.index.rows("train")
    subject = np.unique(dataset.index.group("subject")[train], return_inverse=True)[1].astype(np.int32)
    note = dataset.index.labels("activity")[train].astype(np.int32)
    note[0] = -1
    write_pseudo_labels(folder / "pretrain" / PSEUDO_LABELS_NAME, PseudoLabels(train, {"photo": subject, "note": note}))
    return dataset, train


def test_a_run_without_pseudo_labels_is_as_it_was(folder: Path) -> None:
    context = context_of(folder)
    found = probe(context)
    context.folder.finish("probe", found)
    report(context)

    drawn = read_json(folder / "probe" / "figures.json") or {}
    assert [m["title"] for m in drawn["maps"]] == ["Test samples, fused features"]  # pyright: ignore
    assert drawn.keys() == {"maps", "confusions"}
    assert not [name for name in found["metrics"] if name.startswith("pseudo_labels")]  # pyright: ignore
    html = (folder / "report.html").read_text()
    assert "Pseudo-labels" not in html
    assert "<h2>Relations" not in html


def test_neighbours_alone_have_a_confusion_of_their_own(folder: Path) -> None:
    found = probe(context_of(folder, "probe.methods=[knn]"))

    drawn = read_json(folder / "probe" / "figures.json") or {}
    assert [c["title"] for c in drawn["confusions"]] == ["kNN probe, fused"]  # pyright: ignore
    assert "probe/fused/knn/100/accuracy" in found["metrics"]  # pyright: ignore
    assert "probe/fused/linear/100/accuracy" not in found["metrics"]  # pyright: ignore


def test_the_gain_of_every_subset_is_that_over_its_strongest_control(folder: Path) -> None:
    context = context_of(folder)
    found = probe(context)
    context.folder.finish("probe", found)
    metrics, gains = found["metrics"], read_gains(found["gains"])
    assert isinstance(metrics, dict)

    assert {gain.subset for gain in gains} == {"imu", "fused"}
    for gain in gains:
        own = metrics[f"probe/{gain.subset}/linear/100/accuracy"]
        controls = {n: metrics[f"control/{n}/{gain.subset}/100/accuracy"] for n in ("features", "random_init")}
        difference = metrics[f"probe/{gain.subset}/linear/100/gain"]
        assert controls[gain.control] == max(controls.values())  # pyright: ignore
        assert difference == pytest.approx(own - controls[gain.control], abs=1e-6)  # pyright: ignore
    assert report_data(context.recipe, context.folder).gains == gains


def test_graph_recovery_stands_beside_a_random_encoder(folder: Path) -> None:
    context = context_of(folder, "relations={day: {kind: same, column: session}}")
    found = probe(context)
    context.folder.finish("probe", found)
    report(context)

    dataset = open_dataset(source_of(context.recipe))
    train = dataset.index.rows("train")
    day, (low, high) = dataset.index.group("session")[train], np.triu_indices(len(train), 1)
    for source, name in (("probe", "features"), ("random_init", "random_init")):
        path = folder / "probe" / f"{name}.parquet"
        made_by = (pq.read_schema(path).metadata or {})[b"kindred.encoder_hash"].decode()
        x = fuse(read_features(path, encoder_hash=made_by), list(context.recipe.streams), train=train)[train]
        similarity = cosine_similarity(x.astype(np.float64))
        expected = roc_auc_score(day[low] == day[high], similarity[low, high])
        assert found["metrics"][f"recovery/day/{source}/auroc"] == pytest.approx(expected, abs=1e-3)  # pyright: ignore
    assert "<h2>Graph recovery" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("column", "weight", "said"), [("activity", 1, True), ("activity", 0, False), ("device", 1, False)]
)
def test_links_that_a_label_made_are_said_to_supervise(folder: Path, column: str, weight: float, said: bool) -> None:
    context = context_of(
        folder,
        f"objectives=[{{kind: cross}}, {{kind: relational, relation: named, weight: {weight}}}]",
        f"relations={{named: {{kind: same, column: {column}}}}}",
    )
    finish(context, "relations")

    warnings = report_data(context.recipe, context.folder).warnings

    assert any("relation named" in text and "weakly supervised" in text for text in warnings) == said


def test_pseudo_labels_are_measured_drawn_and_shown(folder: Path) -> None:
    context = context_of(folder)
    dataset, train = pseudo_labels(folder, context)
    found = probe(context)
    context.folder.finish("probe", found)
    finish(context, "relations")

    metrics, warnings = found["metrics"], found["warnings"]
    assert isinstance(metrics, dict)
    assert isinstance(warnings, list)
    assert metrics["pseudo_labels/photo/subject/ami"] == pytest.approx(1)
    assert metrics["pseudo_labels/note/activity/nmi"] == pytest.approx(1)
    assert metrics["pseudo_labels/photo/clusters"] == len(set(dataset.index.group("subject")[train]))
    assert 0 < metrics["pseudo_labels/note/max_share"] < 1  # pyright: ignore
    assert {f"pseudo_labels/note/{column}/ami" for column in ("device", "session")} <= metrics.keys()
    assert any(str(text).startswith("Clusters of photo follow subject (AMI 1.00) more than") for text in warnings)
    assert not any(str(text).startswith("Clusters of note") for text in warnings)

    data = report_data(context.recipe, context.folder)
    own = data.maps[1]
    assert own.title.startswith("Training samples")
    assert own.groups.keys() == {"activity", "subject", "pseudo-label photo", "pseudo-label note"}
    assert own.groups["pseudo-label note"][0] == "none"
    named = dict(zip(own.groups["subject"], own.groups["pseudo-label photo"], strict=True))
    assert len(set(named.values())) == len(named)
    assert {plot.name for plot in report_plots(data)} >= {"clusters_photo", "clusters_note"}
    report(context)
    html = (folder / "report.html").read_text()
    assert "<h2>Pseudo-labels" in html
    assert "<h2>Relations" in html
    assert '"figures/clusters_photo.png"' in (folder / "tracking" / "test.jsonl").read_text()


def test_the_browser_shows_the_samples_as_they_were_recorded(folder: Path) -> None:
    context = context_of(folder)
    dataset, _ = pseudo_labels(folder, context)
    context.folder.finish("probe", probe(context))

    browser = next(b for b in report_data(context.recipe, context.folder).browsers if b.space == "photo")

    idx = [sample for cluster in browser.clusters for sample in cluster.idx]
    names, classes = dataset.manifest.labels["activity"], dataset.index.labels("activity")
    key, subject = dataset.index.key, dataset.index.group("subject")
    assert [s.key for s in browser.samples] == key[idx].tolist()
    assert [s.label for s in browser.samples] == [names[k] for k in classes[idx]]
    assert [s.subject for s in browser.samples] == subject[idx].tolist()
    assert [len({subject[i] for i in cluster.idx}) for cluster in browser.clusters] == [1] * len(browser.clusters)
    imu, photo, note = (browser.streams[name] for name in ("imu", "photo", "note"))
    assert isinstance(imu, Series)
    assert isinstance(photo, Pictures)
    assert isinstance(note, Texts)
    assert list(imu.channels)[:2] == ["acc_x", "acc_y"]
    assert photo.values.shape[1:] == (64, 64, 3)
    with (folder / "raw" / "records.csv").open() as file:
        raw = {row["key"]: row["note"] for row in csv.DictReader(file)}
    assert [bool(raw[sample.key]) for sample in browser.samples] == note.present.tolist()
    for text, sample in zip(note.values, browser.samples, strict=True):
        assert raw[sample.key].lower().startswith(text.strip())
        assert bool(text) == bool(raw[sample.key])


def test_pseudo_labels_need_no_label(folder: Path) -> None:
    context = context_of(folder, "label=null", "finetune=null")
    assert probe(context) == {"skipped": "the recipe has no label", "metrics": {}}
    assert not (folder / "probe" / "figures.json").exists()
    pseudo_labels(folder, context)

    found = probe(context)
    context.folder.finish("probe", found)
    data = report_data(context.recipe, context.folder)

    assert found["skipped"] == "the recipe has no label"
    assert found["metrics"]["pseudo_labels/photo/subject/ami"] == pytest.approx(1)  # pyright: ignore
    assert found["warnings"] == []
    assert [m.groups.keys() for m in data.maps] == [{"subject", "pseudo-label photo", "pseudo-label note"}]
    assert {sample.label for browser in data.browsers for sample in browser.samples} == {""}
    assert {cluster.purity for browser in data.browsers for cluster in browser.clusters} == {None}


def test_damaged_pseudo_labels_stop_the_probe(folder: Path) -> None:
    (folder / "pretrain" / PSEUDO_LABELS_NAME).write_bytes(b"PAR1")

    with pytest.raises(DataError, match="PSEUDO_LABELS"):
        probe(context_of(folder))
