"""Attacks by data, places, recipes and weights, each tried in a child process that an audit hook watches.

    python -m tests.faults.attempts FOLDER

tries everything that `prepare` wrote below FOLDER and prints one JSON object: name -> Outcome.
"""

import dataclasses
import io
import json
import os
import pickle  # noqa: TID251 - to see that the watch sees it
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from pipeline.data.description import Description
from pipeline.strict_yaml import load_yaml
from tests.faults import attack_files, foreign_archive, weight_attempts
from tests.faults.foreign_archive import samples, tar
from tests.faults.watch import Attempt, Outcome, attempted, run_verb, watch
from tests.pipeline.data.raw_files_of_a_user import describe, ingest_toy, write_raw

ROOT = Path(__file__).parents[2]
# What readers of WebDataset shards elsewhere obey.
ENVIRONMENT = {
    "GOPEN_REWRITE": "=pipe:touch canary;", "USE_AIS_FOR": "http:https:s3:gs", "WDS_CACHE": "canary",
    "WDS_REWRITE": "=pipe:touch canary", "GOPEN_VERBOSE": "1",
}  # fmt: skip


def archive(*extra: tuple[str, bytes], ignore: str | None = None, **changes: object) -> Attempt:
    """An archive of good samples and `extra` members, indexed in place; `changes` of its description."""
    records = foreign_archive.description().records.model_dump() | ({} if ignore is None else {"ignore": ignore})
    names = {name for name, _ in extra}

    def prepare(folder: Path) -> None:
        kept = [member for member in samples() if member[0] not in names]
        (folder / "a.tar").write_bytes(tar([*kept, *extra]))

    return Attempt(
        prepare, lambda folder: foreign_archive.index(folder, folder / "data", **({"records": records} | changes))
    )


def raw(description: Description, name: str, payload: Callable[[], bytes]) -> Attempt:
    """A raw folder in which one file is an attack."""

    def prepare(folder: Path) -> None:
        write_raw(folder / "raw")
        (folder / "raw" / name).write_bytes(payload())

    return Attempt(prepare, lambda folder: ingest_toy(description, folder / "raw", folder / "data"))


def place(text: str) -> Attempt:
    """A place that is no folder, given to a verb."""
    return Attempt(lambda folder: None, lambda folder: run_verb("verify", text, folder=folder))


def yaml(text: str) -> Attempt:
    """A recipe."""
    return Attempt(lambda folder: (folder / "r.yaml").write_text(text), lambda folder: load_yaml(folder / "r.yaml"))


NPZ = describe(
    streams={"imu": {"kind": "npz", "path": "imu/{key}.npz", "array": "x", "layout": "TC", "channels": ["x", "y"],
                     "rate_hz": 10, "optional": True}, "note": {"kind": "column", "column": "note"}}
)  # fmt: skip
PHOTO = "rec/2024-01-01T00.00.jpg"
SERIES = "rec/2024-01-01T00.00.imu.npy"


def _control(folder: Path) -> None:
    """What the watch must see."""
    os.chdir(folder)
    pickle.loads(attack_files.canary())
    (folder.parent.parent / "outside").write_bytes(b"x" * (100 << 20))


CODE_TYPES = ("pyd", "pkl", "pickle", "pth", "pt", "joblib")

ATTEMPTS: Mapping[str, Attempt] = {
    "control": Attempt(lambda folder: None, _control),
    **{f"member-{kind}": archive((f"x.{kind}", attack_files.canary())) for kind in CODE_TYPES},
    "member-ignored": archive(("x.pkl", attack_files.canary()), ignore="all"),
    "stream-pkl": archive(
        ("x.pkl", attack_files.canary()), streams={"imu": {"kind": "member", "suffix": "pkl"}}, ignore="all"
    ),
    "npy-object-member": archive((SERIES, attack_files.object_npy())),
    "npy-object": raw(describe(), "imu/r5.npy", attack_files.object_npy),
    "npz-object": raw(NPZ, "imu/r5.npz", attack_files.object_npz),
    "pipe": place("pipe:touch canary"),
    "pipe-braces": place("pipe:touch canary{000..003}"),
    "pipe-chain": place("simplecache::pipe:touch canary"),
    "stdin": place("-"),
    "file-url": place("file:///etc"),
    "ais": place("ais://bucket/x"),
    "metadata-service": place("http://169.254.169.254/latest"),
    "dashboard": place("http://127.0.0.1:8265/x"),
    "parent": archive(("../../canary.txt", b"x")),
    "absolute": archive(("/tmp/canary.txt", b"x")),
    "backslash": archive(("a\\..\\..\\canary.txt", b"x")),
    "png-bomb": archive((PHOTO, attack_files.png_bomb(12_000, 12_000))),
    "npy-terabytes": archive((SERIES, attack_files.huge_npy())),
    "npz-bomb": raw(NPZ, "imu/r5.npz", attack_files.npz_bomb),
    "long-text": archive(("rec/2024-01-01T00.00.txt", b"x" * 10_000_000)),
    "deep-json": archive(("rec/2024-01-01T00.00.json", b"[" * 200_000)),
    "long-number": archive(("rec/2024-01-01T00.00.json", b'{"subject": ' + b"9" * 5000 + b"}")),
    "nan-json": archive(("rec/2024-01-01T00.00.json", b'{"subject": NaN}')),
    "twin-json": archive(("rec/2024-01-01T00.00.json", b'{"subject": 1, "subject": 2}')),
    "long-annotation": archive(("rec/2024-01-01T00.00.cls", b"a" * 1_000_000)),
    "huge-annotation": archive(("rec/2024-01-01T00.00.cls", b"a" * 2_000_000)),
    "gzip-bomb": Attempt(
        lambda folder: attack_files.write_tgz_bomb(folder / "a.tar"),
        lambda folder: foreign_archive.index(folder, folder / "data"),
    ),
    "alias-bomb": yaml(attack_files.alias_bomb()),
    "python-tag": yaml("!!python/object/apply:os.system ['touch canary']"),
    **weight_attempts.ATTEMPTS,
}  # fmt: skip


def prepare(root: Path) -> None:
    """Write every attack below `root`."""
    for name, attempt in ATTEMPTS.items():
        (root / name).mkdir(parents=True)
        attempt.prepare(root / name)


def outcomes(root: Path) -> dict[str, Outcome]:
    """Try everything below `root` in a child process."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.faults.attempts", str(root)],
        capture_output=True, text=True, cwd=ROOT, env=os.environ | ENVIRONMENT, timeout=200, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    return {name: Outcome(**found) for name, found in json.loads(child.stdout.splitlines()[-1]).items()}


def main(root: Path) -> None:
    """Try everything; what an undamaged ingest loads and allocates is there before."""
    events: list[str] = []
    (root / "warm").mkdir()
    good = archive()
    good.prepare(root / "warm")
    good.act(root / "warm")
    write_raw(root / "warm" / "raw")
    ingest_toy(describe(), root / "warm" / "raw", root / "warm" / "toy")
    attempted(place("nowhere"), root / "warm", events)
    weight_attempts.train(root)
    np.load(io.BytesIO(foreign_archive.npy(np.zeros(3))))
    watch(events, root)
    found = {name: dataclasses.asdict(attempted(a, root / name, events)) for name, a in ATTEMPTS.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
