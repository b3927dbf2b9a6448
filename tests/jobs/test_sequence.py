"""Labels of single steps of a tiny run, from planted files to the report; targets that are none are refused."""

import io
import shutil
from pathlib import Path
from typing import cast

import pytest
from pydantic import JsonValue

from jobs._console import Console
from jobs._run_folder import numbers
from jobs._sequence_table import show_sequence
from jobs.evaluate import evaluate
from jobs.report import report
from jobs.verify import verify
from pipeline.errors import ConfigError, DataError, Problems
from pipeline.evaluate.sequence_lines import sequence_lines
from tests.jobs.tiny_run import context_of, finish

SOURCE = (
    "{kind: csv, path: 'steps/{key}.csv', channels: [gesture], rate_hz: 25, "
    "time: {column: time_ns, unit: ns, clock: utc}}"
)
STEPS = [
    "objectives=[{kind: cross}]",
    "relations={}",
    "data.generate.gesture_steps=true",
    "data.ingest.step_labels={gesture: {stream: imu, classes: {'0': rest, '1': lift, '2': twist, '3': lower, "
    f"'4': untwist}}, source: {SOURCE}}}}}",
]


def test_steps_are_probed_beside_the_controls(tmp_path: Path) -> None:
    context = context_of(tmp_path / "run", *STEPS, "sequence.targets=[gesture]")
    for stage in ("ingest", "pretrain", "probe"):
        finish(context, stage)

    metrics = cast(dict[str, float], context.folder.metrics(["probe"]))
    for source in ("probe", "random_init", "raw"):
        prefix = f"sequence/gesture/{source}/imu/100"
        assert metrics[f"{prefix}/accuracy_low"] <= metrics[f"{prefix}/accuracy"] <= metrics[f"{prefix}/accuracy_high"]
        for score in ("f1_macro", "edit", "f1_at_10", "f1_at_25", "f1_at_50"):
            assert 0 <= metrics[f"{prefix}/{score}"] <= 1
        assert metrics[f"{prefix}/f1_macro"] > 0.2, "five classes: a probe that reads nothing names the rest alone"
    shutil.rmtree(context.folder.path / "pretrain" / "checkpoints")
    found = evaluate(context)
    own = {name: value for name, value in metrics.items() if name.startswith("sequence/")}
    assert {name: numbers(cast(dict[str, JsonValue], found["metrics"]))[f"evaluate/{name}"] for name in own} == own
    assert (found["reproduced"], found["differing"]) == (len(metrics), [])
    assert verify(str(tmp_path / "run" / "data"), workers=1)["status"] == "finished"
    report(context)
    assert "<h2>Steps" in (tmp_path / "run" / "report.html").read_text()
    show_sequence(Console(shown := io.StringIO()), sequence_lines(numbers(metrics)), title="steps")
    assert "F1@25" in shown.getvalue()

    others = ["streams={photo: {kind: image}, note: {kind: text}}", "subsets=null", "sequence.targets=[gesture]"]
    with pytest.raises(ConfigError, match="a stream that the recipe leaves out"):
        finish(context_of(tmp_path / "run", *STEPS, *others), "ingest")


def test_targets_are_step_labels_beside_a_label(tmp_path: Path) -> None:
    with pytest.raises(Problems, match=r"sequence\.targets 'gestur' is none of .* did you mean gesture"):
        context_of(tmp_path, *STEPS, "sequence.targets=[gestur]")
    with pytest.raises(Problems, match="sequence needs a label"):
        context_of(tmp_path, *STEPS, "sequence.targets=[gesture]", "label=null")


@pytest.mark.parametrize("stage", ["ingest", "pretrain", "probe"])
def test_a_data_set_without_step_labels_is_refused_before_pretraining(folder: Path, stage: str) -> None:
    context = context_of(folder, "data.ingest=null", "data.generate=null", "sequence.targets=[gesture]")

    with pytest.raises(DataError, match=r"the data set has no sequence\.targets 'gesture'"):
        finish(context, stage)
