"""The shape of the repository: sizes, arrows, names, forbidden calls."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("modalities", "pipeline", "jobs")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
EVERYTHING = SOURCES + sorted((ROOT / "tests").rglob("*.py"))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", EVERYTHING, ids=_name)
def test_no_file_is_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_functions_are_short_and_modules_say_what_they_hold(path: Path) -> None:
    tree = ast.parse(path.read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [
        f"{f.name} ({f.end_lineno - f.lineno + 1})" for f in functions if f.end_lineno and f.end_lineno - f.lineno >= 60
    ]

    assert long == []
    assert ast.get_docstring(tree), "a module says what it holds"
    assert path.stem not in {"utils", "helpers", "common", "misc", "manager"}


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_public_classes_and_functions_are_documented(path: Path) -> None:
    tree = ast.parse(path.read_text())
    public = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    short = [node.name for node in public if isinstance(node, ast.ClassDef) or (node.end_lineno or 0) - node.lineno > 4]

    assert short == []


FORBIDDEN = {
    r"\bpickle\.|import pickle": "runs code from files",
    r"torch\.(load|save)\(": "weights are safetensors",
    r"allow_pickle=True": "runs code from files",
    r"yaml\.load\(text, (?!_Loader)|yaml\.(unsafe_)?load\((?!text, _Loader)": "only the strict loader",
    r"\.extract(all)?\(": "archives are never extracted",
    r"import tarfile|from tarfile|wds\.|import webdataset$": "loops for ever or loses samples without a word",
    r"torch\.export|distributed\.checkpoint": "both load with pickle",
    r"mlflow[.\w]*\.load_model": "imports and runs what the model names",
    r"shell=True": "no shells",
    r"except Exception:\s*\n\s*(pass|continue)": "silent skip",
    r"errors=[\"'](replace|ignore)": "lossy text",
    r"WebDataset\(": "the reader is ours",
}


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_forbidden_calls_are_absent(path: Path) -> None:
    code = re.sub(r'"""(?:.|\n)*?"""|#[^\n]*', "", path.read_text())

    assert [pattern for pattern in FORBIDDEN if re.search(pattern, code)] == []


@pytest.mark.parametrize("path", [p for p in SOURCES if p.parts[-2] != "jobs" and "jobs" not in p.parts], ids=_name)
def test_only_jobs_know_the_world_outside(path: Path) -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert not imported & {"ray", "mlflow", "argparse", "rich"}
    assert "os.environ" not in path.read_text()
    assert "sys.argv" not in path.read_text()


def test_import_arrows_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")

    done = subprocess.run([str(linter)], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_a_test_folder_mirrors_every_package_folder() -> None:
    folders = {path.parent.relative_to(ROOT) for path in SOURCES}
    missing = [
        str(f) for f in folders if not (ROOT / "tests" / f).is_dir() or not any((ROOT / "tests" / f).glob("test_*.py"))
    ]

    assert missing == []
