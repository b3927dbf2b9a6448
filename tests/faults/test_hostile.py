"""Hostile input: nothing runs, nothing is written elsewhere, no memory is taken, and each refusal says what to do."""

from pathlib import Path

import pytest

from jobs.__main__ import main
from tests.faults.attempts import CODE_TYPES
from tests.faults.conftest import Outcomes, check


def test_the_watch_sees_code_files_and_memory(outcomes: Outcomes) -> None:
    found = outcomes["control"]

    assert "pickle.find_class" in found.events
    assert any(event.startswith("open ") and event.endswith("/outside") for event in found.events)
    assert found.grown_mib > 90


@pytest.mark.fault("S01")
def test_members_that_can_hold_code_are_refused_and_never_loaded(outcomes: Outcomes) -> None:
    check(outcomes, [f"member-{kind}" for kind in CODE_TYPES], code="SEC_FORBIDDEN_TYPE", exit_code=77)
    check(outcomes, ["stream-pkl"], code="CONFIG_STREAM", exit_code=64)
    assert (outcomes["member-ignored"].code, outcomes["member-ignored"].events) == ("", [])


@pytest.mark.fault("S02")
def test_arrays_of_objects_are_refused_and_never_loaded(outcomes: Outcomes) -> None:
    check(outcomes, ["npy-object-member"], code="DATA_DTYPE", exit_code=65)
    check(outcomes, ["npy-object", "npz-object"], code="SEC_FORBIDDEN_TYPE", exit_code=77)


@pytest.mark.fault("S03")
def test_commands_and_foreign_protocols_are_no_places(outcomes: Outcomes) -> None:
    names = ["pipe", "pipe-braces", "pipe-chain", "stdin", "file-url", "ais"]

    check(outcomes, names, code="SEC_URL_SCHEME", exit_code=77)
    assert not any("canary" in outcomes[name].message for name in names), "commands are redacted"


@pytest.mark.fault("S04")
def test_private_addresses_are_not_contacted(outcomes: Outcomes) -> None:
    check(outcomes, ["metadata-service", "dashboard"], code="SEC_URL_ADDRESS", exit_code=77)


@pytest.mark.fault("S05")
def test_names_that_leave_the_archive_write_nothing(outcomes: Outcomes) -> None:
    check(outcomes, ["parent", "absolute", "backslash"], code="SEC_PATH", exit_code=77)


@pytest.mark.fault("D06", "D07")
def test_bombs_cost_no_memory(outcomes: Outcomes) -> None:
    check(outcomes, ["npz-bomb"], code="DATA_TOO_LARGE", exit_code=65)
    assert "ratio" in outcomes["npz-bomb"].message
    check(outcomes, ["gzip-bomb"], code="DATA_COMPRESSED", exit_code=65)


@pytest.mark.fault("D26")
def test_an_image_bomb_in_an_archive_costs_no_memory(outcomes: Outcomes) -> None:
    check(outcomes, ["png-bomb"], code="DATA_IMAGE_PIXELS", exit_code=65)
    assert all(part in outcomes["png-bomb"].message for part in ('"width": 12000', '"height": 12000', '"limit"'))


@pytest.mark.fault("D28")
def test_hostile_headers_and_json_cost_no_memory(outcomes: Outcomes) -> None:
    check(outcomes, ["npy-terabytes"], code="DATA_SHAPE", exit_code=65)
    check(outcomes, ["deep-json", "long-number", "nan-json", "twin-json"], code="DATA_JSON", exit_code=65)


@pytest.mark.fault("D22")
def test_a_text_of_megabytes_is_refused(outcomes: Outcomes) -> None:
    check(outcomes, ["long-text"], code="DATA_TOO_LARGE", exit_code=65)


@pytest.mark.fault("S09")
def test_yaml_bombs_and_tags_are_refused(outcomes: Outcomes) -> None:
    check(outcomes, ["alias-bomb", "python-tag"], code="CONFIG_YAML", exit_code=64)
    assert "line 2" in outcomes["alias-bomb"].message


@pytest.mark.fault("S11")
def test_long_annotations_are_read_or_refused_in_bounded_time(outcomes: Outcomes) -> None:
    check(outcomes, ["huge-annotation"], code="DATA_TOO_LARGE", exit_code=65)
    assert outcomes["long-annotation"].code == ""
    assert max(outcome.seconds for outcome in outcomes.values()) < 5


@pytest.mark.fault("S06")
@pytest.mark.parametrize("out", ["../../x", "/tmp/x", "runs/../../x"])
def test_a_recipe_cannot_name_a_run_folder_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    work = tmp_path / "a" / "b"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    tiny = Path(__file__).parents[1] / "e2e" / "tiny.yaml"
    (work / "r.yaml").write_text(f"out: {out}\n{tiny.read_text()}")

    assert main(["ingest", "r.yaml"]) == 64
    assert "CONFIG_PATH" in capsys.readouterr().err
    assert main(["ingest", "r.yaml", "out=run", "--fork", "../../x"]) == 64
    assert "CONFIG_PATH" in capsys.readouterr().err
    assert main(["ingest", "r.yaml", "out=run", "name=../x"]) == 64
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["r.yaml"]


@pytest.mark.fault("S10")
def test_escape_sequences_in_names_never_reach_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    evil = "\x1b[2J\x07{{7*7}}<img onerror=x>"
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "records.csv").write_text(f'key,person,file\n"{evil}",p1,"{evil}"\nb,p1,missing{evil}\n')
    (tmp_path / "r.yaml").write_text(RECIPE)

    assert main(["ingest", "r.yaml", "out=run", "--json"]) == 65
    out, err = capfd.readouterr()
    assert "DATA_NAME" in err
    assert not {"\x1b", "\x07"} & set(out + err)
    logged = [p for p in (tmp_path / "run").rglob("*") if p.suffix in {".json", ".jsonl", ".log", ".txt"}]
    assert logged
    assert not [path for path in logged if b"\x1b" in path.read_bytes()]


RECIPE = """
name: evil
data:
  root: raw
  ingest:
    records: {kind: csv, path: records.csv, key: key}
    streams:
      imu: {kind: npy, path: "{file}", layout: CT, channels: [x], rate_hz: 10}
    schemas:
      imu: {kind: sensor, channels: [x], rate_hz: 10, max_steps: 8}
    groups: {person: person}
    split: {kind: train_only}
streams:
  imu: {kind: sensor}
objectives:
  - {kind: intra}
tracking: {uri: "sqlite:///mlflow.db"}
"""
