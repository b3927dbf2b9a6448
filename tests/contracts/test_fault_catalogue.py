"""Every fault and hostile input that Kindred must survive has a test that says so."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parents[1]

CATALOGUE = {
    "D01": "archive cut inside data: refused before the first step, with expected and actual bytes",
    "D02": "archive cut at a member border or in a header: every cut is found",
    "D03": "end mark missing: accepted only if the manifest says so",
    "D04": "bit flip in a payload: every one is found, with shard, key and member",
    "D05": "header checksum wrong, block dropped, swapped or zeroed: nothing is silent",
    "D06": "compressed shards are refused; a damaged gzip is never read",
    "D07": "gzip or npz bomb: refused by a cap, without taking the memory",
    "D08": "missing modality: refused with shard, key and stream, or masked and counted where optional",
    "D09": "unknown member: refused unless it is declared",
    "D10": "wrong dtype: refused with expected and got",
    "D11": "wrong shape or transposed: refused with both shapes, never guessed",
    "D12": "channels missing, extra or permuted: matched by name, the differences listed",
    "D13": "NaN and infinity: refused at the first index, or masked",
    "D14": "constant channel: no division by zero, and it is counted",
    "D15": "absurd range: refused with key, channel and limit",
    "D16": "lengths 0, 1, odd, too long: fixed shape with a mask, or refused",
    "D17": "empty shard, shard of no bytes: refused",
    "D18": "duplicate key within or across shards: refused with both places",
    "D19": "members of one sample interleaved: put together by the index",
    "D20": "same content under another key: reported, refused across splits",
    "D21": "text that is not UTF-8: refused at its byte, never decoded lossily",
    "D22": "NUL, long, right-to-left, emoji, empty text: round trip or typed error",
    "D23": "member names that are not UTF-8: refused",
    "D24": "names that differ in Unicode form or case only: refused with both",
    "D25": "dots in keys: split by declared suffixes",
    "D26": "image bomb: refused from the header in no memory",
    "D27": "truncated, mislabelled, animated, CMYK, 16-bit or rotated image: refused or converted",
    "D28": "hostile npy header or JSON: refused before allocation",
    "D29": "negative size in a tar header: refused, no endless loop",
    "D30": "links, devices, sparse and overriding members: refused",
    "D31": "uneven shards: equal steps on all ranks, each sample once",
    "D32": "shard deleted or replaced during the run: refused, and the run resumes exactly when it is back",
    "D33": "hanging storage: named after the time limit, exit 75",
    "D34": "transfer cut in the middle: length and hash must match, retried, never silent",
    "D35": "naive, ambiguous, unordered or misscaled times: refused; the machine's zone never matters",
    "D36": "sampling rates that do not fit: refused with both rates",
    "M01": "MLflow down before the start: training goes on, kindred sync delivers",
    "M02": "MLflow down or restarted in mid-run: every point arrives once",
    "M03": "MLflow slow, hanging, resetting, failing: a request ends within seconds, never in the training thread",
    "M04": "reply lost or late: one run, no point twice",
    "M05": "killed with unsent points: the spool is on disk, nothing is lost",
    "M06": "database locked, damaged or gone: the error names it, all points are there after its repair",
    "M07": "params and points logged again after a resume: no error, one point a step",
    "M08": "run deleted, finished or in a renamed experiment: refused or gone on with, never a silent third run",
    "M09": "odd names and values: arrive as their normalised form",
    "M10": "run left RUNNING by a kill: marked with its reason",
    "M11": "database of another version: refused with both versions, the file is not touched",
    "M12": "artifact upload broken off: recognisable, and completed by kindred sync",
    "N01": "loss that is not finite: stops before the step, with samples and norms; no checkpoint holds it",
    "N02": "gradient that is not finite: skipped and counted alike on all workers, ended after some in a row",
    "N03": "reduced precision: float16 is refused, bfloat16 resumes to the bit",
    "N04": "collapse, of some dimensions too: said within two monitors; no false alarm on healthy runs",
    "N05": "memory that differs between workers: found at once, on all of them",
    "N06": "false negatives by window, sample and content: never repelled",
    "N07": "pseudo-labels of odd features: repaired by rule, stable through a checkpoint",
    "N08": "batches of one, of equal samples, any temperature: finite, or refused",
    "N12": "random draws: distinct for every sample, whatever the worker",
    "N13": "other threads, processor or kernels: recorded, equal bits no longer promised",
    "N14": "stream that a whole batch lacks: no NaN, no gradient, counted",
    "S01": "pickles and other code in shards: refused, never loaded",
    "S02": "pickled arrays in npy and npz: refused, never loaded",
    "S03": "commands and foreign protocols in place of a path: refused, environment ignored",
    "S04": "requests to private addresses by address, name, redirect or rebinding: none is sent",
    "S05": "member names that leave the archive: refused, nothing is written",
    "S06": "paths in a recipe that leave the working folder: refused",
    "S07": "weights that are pickles, or come with code: refused, never loaded",
    "S08": "weights with lying headers, or that do not fit or are not finite: refused in no memory",
    "S09": "YAML tags, aliases, twin keys and surprising scalars: refused or read as they look",
    "S10": "escape sequences and markup in names: never reach a terminal, log or page",
    "S11": "long or deep annotations: refused or read in bounded time",
    "C01": "kill -9 at any call of a save: the newest checkpoint is the old or the new one, the next save works",
    "C03": "I/O error at any call of a save: it fails with a typed error, the old checkpoint stays",
    "C04": "disk full: refused before training with need and have, or a typed error that leaves the old checkpoint",
    "C05": "damaged checkpoint: every damage is found and the previous one used; without any, exit 66",
    "C06": "files, manifest or folder of another checkpoint or run: never loaded",
    "C07": "kill while old checkpoints are removed: two valid ones remain",
    "C08": "read-only run folder: refused before training",
    "C09": "strange, long and linked folder names: the same bits, or a typed error",
    "C10": "little shared memory: refused before training with need, have and the option that helps",
    "C11": "what a kill leaves behind: no restart needs a clean-up, and nothing piles up",
    "C12": "few descriptors: named with need and have; none is left open by checkpoints",
    "C13": "an attempt that was stopped and replaced goes on: it changes nothing and exits with 75",
    "C14": "checkpoint of another format, torch, processor or number of workers: exact, refused, or said to be inexact",
    "C15": "resume without one component: refused by its name, never a silent default",
    "P01": "worker killed in a step, a save, a monitor, a bank update, at an epoch's end: restarted by itself, exact",
    "P02": "process that reads or checks data killed: found at once, exit code, no child left",
    "P03": "Ray Train's controller killed: connected anew, exact, one MLflow run",
    "P04": "driver killed: the same command resumes, exact, one MLflow run",
    "P05": "raylet or control store killed: the same command resumes, exact, no process left",
    "P06": "node lost, another joins: as many samples a step, exact",
    "P07": "workers that do not divide the micro-batches: exact, or refused with the allowed number",
    "P08": "SIGTERM or a machine that is reclaimed: a checkpoint, exit 75 within seconds",
    "P09": "SIGINT once or twice, SIGHUP, closed output: consistent, resumed exactly, no traceback",
    "P10": "worker that hangs: found, stacks of those that wait, restarted, exact",
    "P11": "workers that drift apart: every one of them says so and ends with 76",
    "P12": "slow worker: named with its rank and what it spends its time on, no restart, exact",
    "P13": "messages of Ray lost: nothing waits for ever; exact, or exit 75 and then resumed exactly",
    "P14": "too little memory: refused with need, have and the keys to lower; the estimate holds",
    "P15": "step that always ends the workers: named after two attempts",
    "P16": "job submitted ten times at once: runs once, all others point to it",
    "P17": "two jobs, one run folder: the second is told who holds it, the first is exact",
    "P18": "lock of a dead process, of a reused pid, of another host: no hindrance",
    "P19": "resume with another configuration: refused with the difference, or allowed where it changes no bit",
    "P20": "resume on other shards: refused, with those added, removed and changed",
    "P21": "mistyped recipe: every wrong key and value named, all at once",
    "P22": "port taken, no free port, IPv6 alone, no loopback: said before training, or another port",
    "P23": "clock that jumps: no bit changes",
    "P24": "checkpoint of an earlier release: loads for ever, or says what to do",
    "P25": "no home, no user entry, any umask: works or is told; secrets stay with their owner",
    "S12": "secrets: a recipe that holds one is refused without repeating it; those of the environment stay there",
    "S13": "Ray without a token: nothing runs for outsiders, no cluster is used",
    "S14": "the token file: readable by its owner only, whatever the umask",
    "S15": "sockets: none without authentication beyond loopback",
    "S16": "foreign Host headers: refused",
    "S17": "requests of other web sites: refused, whatever their method",
    "S18": "anonymous writes to the local UI: possible from this machine only, as documented",
    "S19": "artifact paths and model sources that leave the store: refused, nothing read or written",
    "S20": "packages with known holes: refused at the start of every verb, with both versions",
}

OF_WHOLE_JOBS = {"P01", "P03", "P05", "P06", "P13"}
"""Take a job that starts again and again, or a cluster: `make test-faults` proves them."""


class Claim(NamedTuple):
    """A test that claims to prove what is demanded for a fault."""

    fault: str
    test: str
    by_default: bool


def _marks(tree: ast.Module, test: ast.FunctionDef) -> Iterator[ast.expr]:
    """Those of its decorators, and the module's `pytestmark`."""
    yield from test.decorator_list
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            yield from node.value.elts if isinstance(node.value, ast.List) else [node.value]


def _claims(path: Path) -> Iterator[Claim]:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        marks = list(_marks(tree, node))
        names = {ast.unparse(mark).partition("(")[0].removeprefix("pytest.mark.") for mark in marks}
        if names & {"gpu", "data", "skip"}:
            continue
        for mark in marks:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
                faults = map(ast.literal_eval, mark.args)
                yield from (Claim(fault, node.name, by_default="slow" not in names) for fault in faults)


CLAIMS = [claim for path in sorted(TESTS.rglob("test_*.py")) for claim in _claims(path)]


@pytest.mark.parametrize("fault", CATALOGUE, ids=str)
def test_every_fault_has_a_test(fault: str) -> None:
    by_default = {claim.by_default for claim in CLAIMS if claim.fault == fault}

    assert True in by_default or (by_default and fault in OF_WHOLE_JOBS), CATALOGUE[fault]


def test_no_test_claims_an_unknown_fault() -> None:
    assert [claim for claim in CLAIMS if claim.fault not in CATALOGUE] == []
