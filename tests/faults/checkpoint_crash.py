"""Every system call of a save that changes files, killed or refused: the newest checkpoint is the old or the new one.

    python -m tests.faults.checkpoint_crash [--calls rename fsync] [--faults kill]

The real store saves in a forked child under `strace -e inject`. In turn each call is where a kill -9 comes, fails with
EIO, and fails with ENOSPC. Afterwards as many whole checkpoints are there as before, bit for bit, a failed save has
said so by a StorageError, and the next attempt saves. In `stop` the saving process is stopped after the call, another
attempt saves, and then the old one goes on: it can change no checkpoint any more, and says so by Preempted.
Exit code 1 if anything was otherwise.
"""

import argparse
import ctypes
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from pipeline.errors import CheckpointError, KindredError, Preempted, StorageError
from pipeline.train.checkpoint_store import CheckpointStore

CALLS = (
    "openat", "write", "pwrite64", "writev", "ftruncate", "fsync", "fdatasync", "rename", "renameat", "renameat2",
    "mkdir", "mkdirat", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rmdir", "getdents64", "close",
)  # fmt: skip
FAULTS = {"kill": "signal=KILL", "EIO": "error=EIO", "ENOSPC": "error=ENOSPC", "stop": "signal=STOP"}
READING = {"getdents64", "close"}
"""Calls after which a stop matters, and no other fault."""
OLD, NEW, NEXT = 2, 3, 4
UNTYPED = 1
_PR_SET_PTRACER, _ANY_TRACER = 0x59616D61, -1


@dataclass
class Matrix:
    """Injections by (call, fault), and what went wrong."""

    injected: Counter[tuple[str, str]] = field(default_factory=Counter)
    bad: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    @property
    def num_bad(self) -> int:
        """Injections after which something was not as it has to be."""
        return sum(map(len, self.bad.values()))


def parts(step: int) -> list[tuple[str, dict[str, Tensor]]]:
    """State whose every byte tells the step."""
    return [("model", {"weight": torch.full((64, 8), step / 7)}), ("optimizer", {"0.step": torch.tensor(step / 3)})]


def two_checkpoints(folder: Path) -> None:
    """Two checkpoints, and what a killed save left behind."""
    store = CheckpointStore(folder)
    store.begin_attempt()
    for step in (OLD - 1, OLD):
        store.save(step, parts(step), {"step": step})
    shutil.copytree(folder / f"step-{OLD:08d}", folder / f".tmp-{OLD + 1:08d}-000001-left")


def damaged_newest(folder: Path) -> None:
    """Two checkpoints and a damaged one of the step that is saved next."""
    two_checkpoints(folder)
    shutil.copytree(folder / f"step-{OLD:08d}", folder / f"step-{NEW:08d}")


@dataclass(frozen=True)
class Situation:
    """What a save finds; `newer`: the steps that another attempt saves while this one is stopped."""

    prepare: Callable[[Path], None]
    newer: tuple[int, ...]


SITUATIONS = {
    "first": Situation(Path.mkdir, (NEXT,)),
    "two": Situation(two_checkpoints, (NEW, NEXT)),
    "damaged": Situation(damaged_newest, (NEW, NEXT)),
}


def save_new(folder: Path) -> None:
    """What is disturbed: a new attempt begins, saves one checkpoint and removes the oldest."""
    store = CheckpointStore(folder)
    store.begin_attempt()
    store.save(NEW, parts(NEW), {"step": NEW})


def run_matrix(root: Path, *, calls: Sequence[str] = CALLS, faults: Sequence[str] = tuple(FAULTS)) -> Matrix:
    """Every one of these calls in every situation with every one of these faults."""
    matrix = Matrix()
    for name, situation in SITUATIONS.items():
        template = root / name
        situation.prepare(template)
        for call, count in counted(template, root / "traced").items():
            for fault in faults if call in calls else ():
                if fault != "stop" and call in READING:
                    continue
                for number in range(1, count + 1):
                    wrong = inject(template, f"{call}:{FAULTS[fault]}:when={number}")
                    matrix.injected[call, fault] += 1
                    if wrong:
                        matrix.bad.setdefault((call, fault), []).append(f"{name}, {call} {number}, {fault}: {wrong}")
    return matrix


def inject(template: Path, fault: str) -> str:
    """Disturb a save into a copy of the template; what is wrong afterwards, "" if nothing is."""
    folder = shutil.copytree(template, template.with_name("disturbed"))
    child = Child(folder, [f"--inject={fault}"])
    if child.stopped:
        wrong = judge_fence(folder, child, SITUATIONS[template.name].newer)
    else:
        wrong = judge(folder, child.wait(), before=len(whole_steps(template)))
    shutil.rmtree(folder)
    return wrong


def counted(template: Path, log: Path) -> Counter[str]:
    """How often an undisturbed save makes each call."""
    folder = shutil.copytree(template, template.with_name("disturbed"))
    code = Child(folder, [f"--output={log}"]).wait()
    if code or (wrong := judge(folder, code, before=len(whole_steps(template)))):
        raise SystemExit(f"the undisturbed save went wrong: {code or wrong}")
    shutil.rmtree(folder)
    return Counter(re.findall(r"^(?:\d+ +)?(\w+)\(", log.read_text(), re.MULTILINE))


class Child:
    """A forked process that saves into a folder under strace with these options, until its end or until it stops."""

    def __init__(self, folder: Path, options: list[str]) -> None:
        self.pid = os.fork()
        if not self.pid:
            _save_and_leave(folder)
        quiet = [] if any(option.startswith("--output") for option in options) else ["--output=/dev/null"]
        given = ["--follow-forks", f"--trace={','.join(CALLS)}", *quiet, *options, f"--attach={self.pid}"]
        self.tracer = subprocess.Popen(["strace", *given], stderr=subprocess.PIPE, text=True)
        assert self.tracer.stderr is not None
        said = self.tracer.stderr.readline()
        os.kill(self.pid, signal.SIGUSR1 if "attached" in said else signal.SIGKILL)
        _, self.status = os.waitpid(self.pid, os.WUNTRACED)
        if "attached" not in said:
            raise SystemExit(f"strace cannot attach: {said.strip()}")

    @property
    def stopped(self) -> bool:
        """Whether a signal holds it."""
        return os.WIFSTOPPED(self.status)

    def wait(self) -> int:
        """Its exit code, or minus the signal that ended it. A stopped one goes on first."""
        if self.stopped:
            os.kill(self.pid, signal.SIGCONT)
            _, self.status = os.waitpid(self.pid, 0)
        self.tracer.communicate()
        return os.waitstatus_to_exitcode(self.status)


def _save_and_leave(folder: Path) -> None:
    """Wait for the tracer, save, leave without any clean-up of the parent's interpreter."""
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANY_TRACER)
    try:
        signal.sigwait({signal.SIGUSR1})
        save_new(folder)
    except KindredError as error:
        os._exit(error.exit_code)
    except BaseException:
        os._exit(UNTYPED)
    os._exit(0)


def judge_fence(folder: Path, child: Child, steps: Sequence[int]) -> str:
    """Another attempt saves these steps while the child is stopped, then the child goes on; what is wrong then."""
    store = CheckpointStore(folder)
    store.begin_attempt()
    committed = NEW in store.steps()
    for step in steps:
        store.save(step, parts(step), {"step": step})
    before = _manifests(folder)
    code = child.wait()
    newer = int(max(folder.glob("attempt-*")).name.removeprefix("attempt-")) > store.attempt
    if code != Preempted.exit_code and not (code == 0 and (committed or newer)):
        return f"the old attempt ended with {code}"
    if _manifests(folder) != before and not newer:
        return f"the old attempt changed {before.keys() ^ _manifests(folder).keys() or 'a checkpoint'}"
    whole = whole_steps(folder)
    return "" if whole[-len(steps) :] == [*steps] else f"only {whole} are whole"


def _manifests(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in folder.glob("step-*/MANIFEST.json")}


def judge(folder: Path, code: int, *, before: int) -> str:
    """What is wrong after a disturbed save that ended with this code; "" if nothing is. before: whole checkpoints."""
    if code not in (0, StorageError.exit_code, -signal.SIGKILL):
        return f"ended with {code}"
    whole = whole_steps(folder)
    if len(whole) < before:
        return f"only {whole} are whole"
    found = CheckpointStore(folder).newest() if whole else None
    newest = found.step if found else None
    if newest not in ((NEW,) if code == 0 else (whole[-1] if whole else None,)):
        return f"ended with {code}, and the newest is {newest} of {whole}"
    return _judge_next(folder, whole)


def whole_steps(folder: Path) -> list[int]:
    """Steps of the checkpoints that are valid, and bit for bit what was saved."""
    return [step for step in CheckpointStore(folder).steps() if is_whole(folder, step)]


def is_whole(folder: Path, step: int) -> bool:
    """Whether the checkpoint is valid, and bit for bit what was saved at that step."""
    try:
        found = CheckpointStore(folder).read(step)
        read = {name: found.part(name) for name, _ in parts(step)}
    except CheckpointError:
        return False
    same = all(read[part][name].equal(tensor) for part, tensors in parts(step) for name, tensor in tensors.items())
    return same and found.state == {"step": step}


def _judge_next(folder: Path, before: list[int]) -> str:
    store = CheckpointStore(folder)
    store.begin_attempt()
    store.save(NEXT, parts(NEXT), {"step": NEXT})
    if (whole := whole_steps(folder)) != [*before, NEXT][-2:]:
        return f"whole after the next save: {whole}"
    left = sorted(path.name for path in folder.iterdir() if path.name.startswith("."))
    return f"left behind: {left}" if left else ""


def report(matrix: Matrix) -> str:
    """Markdown: injections and bad outcomes by call and fault."""
    calls, faults = (list(dict.fromkeys(key[part] for key in matrix.injected)) for part in (0, 1))
    lines = [
        f"| system call | {' | '.join(f'{fault}: injected, bad' for fault in faults)} |",
        "|---" * (len(faults) + 1) + "|",
    ]
    for call in calls:
        cells = [f"{matrix.injected[call, fault]}, {len(matrix.bad.get((call, fault), []))}" for fault in faults]
        lines.append(f"| {call} | {' | '.join(cells)} |")
    lines += ["", f"{matrix.injected.total()} injections, {matrix.num_bad} bad."]
    return "\n".join([*lines, *(text for found in matrix.bad.values() for text in found)])


def main() -> None:
    """Run the matrix and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", nargs="+", choices=CALLS, default=CALLS)
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    options = parser.parse_args()
    logging.disable()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # a child may get it before it waits
    with tempfile.TemporaryDirectory(prefix="kindred-crash-") as made:
        matrix = run_matrix(Path(made), calls=options.calls, faults=options.faults)
    print(report(matrix))
    sys.exit(bool(matrix.num_bad))


if __name__ == "__main__":
    main()
