import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from jobs._versions import SAFE_FROM, installed_version, refuse_unsafe
from pipeline.errors import EnvironmentFault

ROOT = Path(__file__).parents[2]
LOWEST = {name: lowest for name, (lowest, _) in SAFE_FROM.items()}


def test_what_is_installed_here_is_safe() -> None:
    refuse_unsafe()  # raises where something is not, or is missing

    assert all(Version(str(installed_version(name))) >= Version(lowest) for name, lowest in LOWEST.items())


@pytest.mark.fault("S20")
@pytest.mark.parametrize(
    ("name", "version"),
    [
        *[("ray", "2.55.1"), ("mlflow", "3.16.1"), ("mlflow", "3.17.0rc1"), ("torch", "2.9.1"), ("pillow", "12.2.0")],
        *[("torch", None), ("ray", "nightly")],
    ],
)
def test_an_older_version_is_refused_with_both_versions_and_the_fix(name: str, version: str | None) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        refuse_unsafe({**LOWEST, name: version}.get)

    assert caught.value.code == "ENV_UNSAFE_VERSIONS"
    assert caught.value.got == {name: version}
    assert caught.value.expected == {name: f">={LOWEST[name]}"}
    assert "CVE-" in caught.value.message
    assert f"pip install '{name}>={LOWEST[name]}'" in caught.value.fix


@pytest.mark.fault("S20")
def test_everything_too_old_is_named_at_once() -> None:
    with pytest.raises(EnvironmentFault) as caught:
        refuse_unsafe(lambda name: "1.0")

    assert caught.value.got == dict.fromkeys(SAFE_FROM, "1.0")


@pytest.mark.parametrize("version", ["2.60.0", "2.100", "3.0.0.dev0"])
def test_newer_versions_are_safe(version: str) -> None:
    newer, asked = {**LOWEST, "ray": version}, []

    refuse_unsafe(lambda name: asked.append(name) or newer[name])  # raises where one is not

    assert sorted(asked) == sorted(SAFE_FROM), "every one was looked up"


def test_what_we_declare_to_need_is_safe() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    specifiers = {found.name: found.specifier for found in map(Requirement, declared)}

    below = {name: f"{lowest}.dev0" for name, lowest in LOWEST.items()}
    assert not [name for name, version in below.items() if specifiers[name].contains(version, prereleases=True)]


def test_a_build_is_no_version() -> None:
    assert installed_version("torch") == installed_version("torch").partition("+")[0]  # pyright: ignore
    assert installed_version("kindred-that-nobody-has") is None


def _old_pillow(folder: Path) -> None:
    """Package metadata as an old pillow has it."""
    info = folder / "pillow-12.2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pillow\nVersion: 12.2.0\n")


@pytest.mark.fault("S20")
@pytest.mark.parametrize("verb", [["explain"], ["sync", "nowhere"], ["verify", "nowhere"], ["run", "nowhere.yaml"]])
def test_every_verb_looks_before_it_does_anything(tmp_path: Path, verb: list[str]) -> None:
    _old_pillow(tmp_path)
    given = [sys.executable, "-m", "jobs", *verb, "--json"]
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": ""}

    done = subprocess.run(given, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 71, done.stderr
    assert json.loads(done.stdout)["error"]["got"] == {"pillow": "12.2.0"}
