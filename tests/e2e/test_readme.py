"""What the README promises, typed as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from jobs.__main__ import main
from jobs.configs import Recipe
from pipeline.config import build_config

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.fixture
def walks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of "Your own data in ten minutes", with five people and seven recordings of five seconds."""
    rng = np.random.default_rng(0)
    (tmp_path / "walks" / "sensors").mkdir(parents=True)
    (tmp_path / "walks" / "photos").mkdir()
    rows = ["recording,person,day,activity,sensor_file,photo_file,note"]
    for number in range(10):
        name, person = f"r{number}", f"p{number // 2}"
        steps = "\n".join(",".join(f"{v:.4f}" for v in row) for row in rng.normal(size=(500, 3)))
        (tmp_path / "walks" / "sensors" / f"{name}.csv").write_text(f"ax,ay,az\n{steps}\n")
        photo = f"photos/{name}.jpg" if number % 3 else ""
        if photo:
            Image.fromarray(rng.integers(0, 255, (80, 90, 3), dtype=np.uint8)).save(tmp_path / "walks" / photo)
        note = ("windy", "sunny, a little tired", "", "with a friend")[(number // 2 + number % 3) % 4]
        activity = ("walk", "climb")[number % 2]
        rows.append(f'{name},{person},d1,{activity},sensors/{name}.csv,{photo},"{note}"')
    (tmp_path / "walks" / "walks.csv").write_text("\n".join(rows) + "\n")
    recipe = re.search(r"```yaml\n# walks.yaml\n(.*?)```", README, re.DOTALL)
    assert recipe
    (tmp_path / "walks.yaml").write_text(recipe[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


def test_own_data_in_ten_minutes(walks: Path) -> None:
    small = ["pretrain.workers=0", "pretrain.epochs=1", "pretrain.batch_size=8", "finetune.epochs=1"]

    assert main(["ingest", "walks.yaml"]) == 0
    assert main(["run", "walks.yaml", *small, "finetune.batch_size=8"]) == 0

    assert (walks / "runs" / "walks" / "report.html").exists()
    table = walks / "walks" / "walks.csv"
    table.write_text(table.read_text() + "\n")
    assert main(["ingest", "walks.yaml"]) == 73, "raw files have changed since"
    assert main(["ingest", "walks.yaml", "--fork", "two"]) == 0


def test_every_verb_of_the_readme_exists(capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"^\.venv/bin/kindred (\w+)", README, re.MULTILINE)
    with pytest.raises(SystemExit):
        main(["--help"])

    offered = capsys.readouterr().out
    assert set(commands) >= {"run", "ingest", "explain", "ui"}
    assert all(re.search(rf"^\s+{verb}\s", offered, re.MULTILINE) for verb in commands)


def test_the_relations_of_the_readme_are_a_valid_part_of_a_recipe(walks: Path) -> None:
    part = re.search(r"```yaml\n(objectives:\n.*?)```", README, re.DOTALL)
    assert part
    document = yaml.safe_load((walks / "walks.yaml").read_text()) | yaml.safe_load(part[1])

    recipe = build_config(Recipe, document)

    assert {objective.kind for objective in recipe.objectives} == {"intra", "inter", "relational"}
    assert len(recipe.relations) == 5
