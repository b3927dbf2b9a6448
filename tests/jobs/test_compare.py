"""kindred compare on runs whose results are written by hand, sample by sample."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import JsonValue

from jobs._run_folder import RECIPE_NAME, RunFolder, write_json
from jobs.compare import compare
from jobs.configs import Recipe
from jobs.stages import STAGES
from pipeline.config import load_config, to_json
from pipeline.data.index import load_index
from pipeline.errors import ConfigError, OutputError
from pipeline.evaluate.features import Features, made_by, read_features, write_features
from pipeline.evaluate.sample_scores import SAMPLE_SCORES_NAME, SampleScores, read_sample_scores, write_sample_scores
from tests.jobs.tiny_run import RECIPE, context_of, finish

KEYS = [f"{subject}-{number}" for subject in "abcd" for number in range(5)]
ROW = "probe/fused/linear/100"


def run(folder: Path, correct: list[float], *, keys: list[str] = KEYS, seed: int = 0, manifest: str = "m") -> str:
    """A finished run that got `correct` right."""
    recipe = load_config(Recipe, RECIPE, [f"out={folder}", f"seed={seed}", "objectives.0.weight=0.5"])
    found = RunFolder(folder)
    write_json(folder / RECIPE_NAME, to_json(recipe))
    found.finish("pretrain", {"metrics": {}, "state_hash": "0", "steps": 1})
    found.claim("probe", {"manifest": manifest})
    accuracy = float(np.mean(correct))
    controls = {"control/features/fused/100/accuracy": 0.5, "finetune/100/accuracy": 0.9}
    metrics: dict[str, JsonValue] = {f"{ROW}/accuracy": accuracy, **controls}
    found.finish("probe", {"metrics": metrics})
    scores = SampleScores(
        np.array(keys),
        np.array([key[0] for key in keys]),
        np.array([int(key[2:]) % 3 for key in keys]),
        {ROW: np.array(correct, np.float32), "control/features/fused/100": np.full(len(keys), 0.5, np.float32)},
    )
    write_sample_scores(scores, folder / "probe" / SAMPLE_SCORES_NAME)
    return str(folder)


def test_scores_come_back(tmp_path: Path) -> None:
    path = Path(run(tmp_path / "a", [1.0, 0.25] * 10)) / "probe" / SAMPLE_SCORES_NAME

    found = read_sample_scores(path)

    assert found.keys.tolist() == KEYS
    assert found.groups.tolist() == [key[0] for key in KEYS]
    assert found.correct[ROW].tolist() == [1.0, 0.25] * 10
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(OutputError, match="OUT_DAMAGED"):
        read_sample_scores(path)


def test_the_difference_is_paired_by_sample_and_tested_by_subject(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = run(tmp_path / "base", [0.0] * 10 + [1.0] * 10)
    turned = list(reversed(KEYS))
    better = run(tmp_path / "better", [1.0] * 15 + [0.0, 0.0, 0.0, 0.0, 1.0], keys=turned)

    found = compare([base, better])

    rows = {row["method"]: row for row in found["rows"]}  # pyright: ignore
    assert rows["linear"]["accuracy"] == [0.5, 0.8]
    # Of the reversed keys d, c and b are all right and one of a: b gains 5 samples, a gains 1, c and d nothing.
    test = rows["linear"]["against_first"][0]
    assert test["difference"] == pytest.approx(0.3)
    assert test["p_value"] == 1.0  # 0.5 of the sign patterns reach 6, twice by Holm over two rows
    assert rows["features"]["against_first"][0]["difference"] == 0
    assert rows["finetune"]["against_first"] == [None]
    shown = capsys.readouterr().err
    assert "+30.0" in shown
    assert "4 test groups" in shown


def test_what_the_recipes_differ_in_is_said_and_seeds_and_folders_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = run(tmp_path / "first", [1.0] * 20), run(tmp_path / "second", [1.0] * 20, seed=3)

    assert compare([first, second])["changed"] == [[]]
    assert "the same recipe, other seeds at most" in capsys.readouterr().err


def test_data_sets_of_other_bytes_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, same = run(tmp_path / "first", [1.0] * 20), run(tmp_path / "same", [1.0] * 20)
    other = run(tmp_path / "other", [1.0] * 20, manifest="n")

    compare([first, same])
    assert "not the same bytes" not in capsys.readouterr().err
    compare([first, other])
    assert "not the same bytes" in capsys.readouterr().err


def test_other_samples_are_refused_with_an_example(tmp_path: Path) -> None:
    first = run(tmp_path / "first", [1.0] * 20)
    second = run(tmp_path / "second", [1.0] * 20, keys=[*KEYS[:-1], "z-9"])

    with pytest.raises(ConfigError, match=r"COMPARE_SAMPLES.*d-4"):
        compare([first, second])


def test_one_run_and_a_run_without_probe_are_refused(tmp_path: Path) -> None:
    first, second = run(tmp_path / "first", [1.0] * 20), run(tmp_path / "second", [1.0] * 20)
    (Path(second) / "probe" / "result.json").unlink()

    with pytest.raises(ConfigError, match="two runs or more"):
        compare([first])
    with pytest.raises(OutputError, match="OUT_NO_PROBE"):
        compare([first, second])


def test_features_of_the_same_test_samples_are_compared_by_stream(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context = context_of(folder)
    context.folder.claim("probe", STAGES["probe"].identity(context.recipe, context.folder))
    finish(context, "probe")
    write_json(folder / RECIPE_NAME, to_json(context.recipe))
    other = Path(shutil.copytree(folder, folder.with_name("other")))
    path, test = other / "probe" / "features.parquet", load_index(folder / "data").rows("test")
    made, rng = made_by(path), np.random.default_rng(0)
    table = read_features(path, encoder_hash=made)
    noise = rng.normal(size=table.values["imu"].shape) * table.present["imu"][:, None]
    turned = table.values["photo"] @ np.linalg.qr(rng.normal(size=(16, 16)))[0] * 3
    turned[np.setdiff1d(table.idx, test)] = 0  # training samples do not count
    values = {**table.values, "imu": noise.astype(np.float32), "photo": turned.astype(np.float32)}
    write_features(Features(table.idx, values, table.present), path, encoder_hash=made)

    (found,) = compare([str(folder), str(other)])["cka"]  # pyright: ignore

    assert found["note"] == pytest.approx(1)  # pyright: ignore
    assert found["photo"] == pytest.approx(1, abs=1e-4)  # pyright: ignore
    assert abs(found["imu"]) < 0.3  # pyright: ignore
    assert "linear CKA over test samples: imu" in capsys.readouterr().err
    path.unlink()
    assert compare([str(folder), str(other)])["cka"] == [{}]
    assert "features are not compared: FEATURES_MISSING" in capsys.readouterr().err


def test_runs_without_a_label_have_nothing_to_compare(tmp_path: Path) -> None:
    numbers = run(tmp_path / "a", [1.0] * 20)
    write_json(tmp_path / "a" / RECIPE_NAME, to_json(load_config(Recipe, RECIPE, [f"out={numbers}", "label=null"])))

    with pytest.raises(OutputError, match="has predicted no class"):
        compare([numbers, run(tmp_path / "b", [1.0] * 20)])
