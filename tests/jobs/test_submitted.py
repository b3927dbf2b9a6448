"""What travels with a submitted study, and what identifies it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from jobs._job_package import write_package
from jobs._submitted import Submitted, submitted
from jobs.study_plan import load_study
from jobs.submit import Job, submit
from pipeline.errors import ConfigError
from tests.jobs.tiny_run import RECIPE

PLACES = ("out=/shared/s", "data.root=/shared/raw")


def given_study(folder: Path, *overrides: str, variants: dict[str, Sequence[str]] | None = None) -> Submitted:
    """Of a study in a folder beside that of its recipe."""
    for name in ("recipes", "studies"):
        (folder / name).mkdir(parents=True)
    (folder / "recipes" / "own.yaml").write_text(RECIPE.read_text())
    document = {"name": "s", "recipe": "../recipes/own.yaml", "variants": variants or {"a": [], "b": ["probe.draws=3"]}}
    (folder / "studies" / "s.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return submitted("study", folder / "studies" / "s.yaml", overrides)


def test_the_job_finds_the_study_and_its_recipe_in_its_folder(tmp_path: Path) -> None:
    given = given_study(tmp_path / "here", *PLACES, "seeds=[3]")
    write_package(given.files, tmp_path)

    there = load_study(tmp_path / next(iter(given.files)), given.overrides)

    assert there.recipe_path == tmp_path / "recipe.yaml"
    assert there.recipe_path.read_text() == RECIPE.read_text()
    assert [run.name for run in there.runs] == ["a-seed3", "b-seed3"]
    assert str(there.folder) == "/shared/s"


def test_a_study_is_the_same_job_wherever_its_files_are_and_another_with_other_variants(tmp_path: Path) -> None:
    here, there = given_study(tmp_path / "1", *PLACES), given_study(tmp_path / "2", *PLACES)
    other = given_study(tmp_path / "3", *PLACES, "variants.b=[probe.draws=4]")

    assert here.document == there.document != other.document


def test_paths_of_all_variants_are_named(tmp_path: Path) -> None:
    variants = {"a": ["data.root=one"], "b": ["data={path: two/data}", "pretrained=runs/x"]}

    given = given_study(tmp_path, "out=s", variants=variants)

    assert given.paths == (
        ("out", "s"),
        ("data.root", "one"),
        ("data.path", "two/data"),
        ("pretrained", "runs/x"),
    )


@pytest.mark.parametrize(
    ("address", "fork", "variants", "field"),
    [
        ("http://head:8265", None, {"a": []}, "out"),
        ("http://localhost:8265", None, {"a": ["data.root=one"], "b": ["data.root=two"]}, "out, data.root"),
        ("http://localhost:8265", "again", {"a": []}, "--fork"),
    ],
)
def test_a_study_that_could_not_work_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, fork: str | None, variants: dict, field: str
) -> None:
    given_study(tmp_path, variants=variants)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")

    with pytest.raises(ConfigError) as caught:
        submit(Job("study", tmp_path / "studies" / "s.yaml", [], fork=fork), address)

    assert caught.value.field == field
