"""The mutation corpus: thousands of damaged shards, manifests, indexes and payloads, and what became of each.

    python -m tests.faults.corpus --count 20000

Every mutant must be refused with a typed error, or be harmless (the same samples are read). `silent` counts mutants
that changed what was read without a word; `untyped` counts errors that are not ours.
"""

import argparse
import dataclasses
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil

from jobs.assemble import Dataset, open_dataset
from modalities.catalogue import codec_for
from modalities.spec import SignalError
from pipeline.data.verify import verify_dataset
from pipeline.errors import KindredError, Problems
from tests.faults import foreign_archive, mutators
from tests.faults.tiny_dataset import write_dataset

CODE_EVENTS = frozenset(
    {"pickle.find_class", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "ctypes.dlopen"}
)


@dataclasses.dataclass
class Report:
    """What became of the mutants of one kind."""

    outcomes: Counter[str] = dataclasses.field(default_factory=Counter)
    examples: dict[str, str] = dataclasses.field(default_factory=dict)
    slowest_s: float = 0.0

    def add(self, outcome: str, seconds: float, example: str) -> None:
        """Count one mutant."""
        self.outcomes[outcome] += 1
        self.examples.setdefault(outcome, example)
        self.slowest_s = max(self.slowest_s, seconds)


class Corpus:
    """An undamaged data set and the judgement of damaged versions of its files."""

    def __init__(self, folder: Path) -> None:
        self.good = folder / "good"
        write_dataset(folder / "raw", self.good)
        self.folder = folder / "damaged"
        shutil.copytree(self.good, self.folder)
        with opened(self.good) as dataset:
            self.manifest, self.samples = dataset.manifest, _everything(dataset)
            self.payloads = list(_payloads(dataset))
            self.schemas = dataset.schemas
        self.archive, self.root = foreign_archive.tar(foreign_archive.samples()), folder / "foreign"
        self.root.mkdir()
        self.originals = self._indexed(self.archive)

    def run(self, count: int, *, seed: int = 0) -> dict[str, Report]:
        """`count` mutants, shared out over shards, manifest, index, payloads and archives of others."""
        kinds: dict[str, Callable[[np.random.Generator], tuple[str, str]]] = {
            "shard": self.shard, "manifest": self.manifest_file, "index": self.index_file, "payload": self.payload,
            "foreign": self.foreign,
        }  # fmt: skip
        reports = {name: Report() for name in kinds}
        for number in range(count):
            name = list(kinds)[number % len(kinds)]
            started = time.perf_counter()
            outcome, example = kinds[name](np.random.default_rng([seed, number]))
            reports[name].add(outcome, time.perf_counter() - started, f"mutant {number}: {example}")
        return reports

    def shard(self, rng: np.random.Generator) -> tuple[str, str]:
        """A damaged archive: found by reading where it matters, and always by verify."""
        entry = self.manifest.shards[rng.integers(len(self.manifest.shards))]
        return self._file(f"shards/{entry.name}", mutators.TAR, rng, shard=entry.name)

    def manifest_file(self, rng: np.random.Generator) -> tuple[str, str]:
        """A damaged manifest."""
        return self._file("manifest.json", mutators.JSON, rng, shard=None)

    def index_file(self, rng: np.random.Generator) -> tuple[str, str]:
        """A damaged index."""
        return self._file("index.parquet", mutators.ANYWHERE, rng, shard=None)

    def payload(self, rng: np.random.Generator) -> tuple[str, str]:
        """Damage that a codec sees, as it would in shards that somebody else wrote: no checksum protects it."""
        stream, good = self.payloads[rng.integers(len(self.payloads))]
        mutate = mutators.PAYLOAD[rng.integers(len(mutators.PAYLOAD))]
        codec = codec_for(self.schemas[stream], self.good / "streams" / stream)
        try:
            codec.decode([mutate(good, rng)])
        except SignalError as error:
            return ("refused" if error.code and str(error) else "unnamed"), mutate.__name__
        except Exception as error:
            return "untyped", f"{mutate.__name__}: {error!r}"
        return "decoded", mutate.__name__

    def foreign(self, rng: np.random.Generator) -> tuple[str, str]:
        """A damaged archive of someone else, which has no checksum but those of its headers.

        `decoded`: nothing was lost, but a payload that still fits its schema differs, or two whole headers changed
        places, which is an archive that says something else; nobody could know.
        """
        mutate = mutators.TAR[rng.integers(len(mutators.TAR))]
        try:
            found = self._indexed(mutate(self.archive, rng))
        except KindredError as error:
            first = error.problems[0] if isinstance(error, Problems) else error
            named = bool(first.code) and "\n" not in str(first) and bool(first.shard or first.key or first.field)
            return ("refused" if named else "unnamed"), f"{mutate.__name__} {first}"
        except Exception as error:
            return "untyped", f"{mutate.__name__} {error!r}"
        if found == self.originals:
            return "harmless", mutate.__name__
        whole = sorted(map(_presence, found)) == sorted(map(_presence, self.originals))
        return ("decoded" if whole else "silent"), mutate.__name__

    def _indexed(self, archive: bytes) -> list[foreign_archive.Content]:
        (self.root / "a.tar").write_bytes(archive)
        with tempfile.TemporaryDirectory(dir=self.root) as out:
            foreign_archive.index(self.root, Path(out) / "data")
            return foreign_archive.contents(Path(out) / "data")

    def _file(
        self, name: str, chosen: tuple[mutators.Mutator, ...], rng: np.random.Generator, *, shard: str | None
    ) -> tuple[str, str]:
        good = (self.good / name).read_bytes()
        mutate = chosen[rng.integers(len(chosen))]
        damaged = mutate(good, rng)
        path = self.folder / name
        path.write_bytes(damaged)
        try:
            outcome, detail = self._judge(shard)
            if shard is not None and damaged != good and not _verify_refuses(self.folder, self.manifest):
                outcome = "unverified"
        finally:
            path.write_bytes(good)
        return outcome, f"{name} {mutate.__name__} {detail}"

    def _judge(self, shard: str | None) -> tuple[str, str]:
        try:
            with opened(self.folder) as dataset:
                same = dataset.manifest == self.manifest and _everything(dataset) == self.samples
        except KindredError as error:
            first = error.problems[0] if isinstance(error, Problems) else error
            named = bool(first.code) and "\n" not in str(first) and (shard is None or first.shard == shard)
            return ("refused" if named else "unnamed"), str(first)
        except Exception as error:
            return "untyped", repr(error)
        return ("harmless" if same else "silent"), ""


class opened:
    """A data set whose shards are closed afterwards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Dataset:
        self.dataset = open_dataset(self.folder)
        return self.dataset

    def __exit__(self, *_: object) -> None:
        self.dataset.reader.close()


def _everything(dataset: Dataset) -> dict[str, bytes]:
    """Every tensor a training run could see, as bytes."""
    idx = np.arange(dataset.manifest.num_samples)
    batch = dataset.reader.batch(idx, streams=list(dataset.schemas), label="activity")
    assert batch.labels is not None
    found = {"labels": batch.labels.numpy().tobytes(), "keys": "\n".join(dataset.index.key.tolist()).encode()}
    for name, signal in batch.signals.items():
        found[name] = signal.values.numpy().tobytes() + signal.present.numpy().tobytes()
        found[name] += b"" if signal.mask is None else signal.mask.numpy().tobytes()
    return found


def _presence(sample: foreign_archive.Content) -> list[str]:
    return [name for name, value in sample.items() if value not in {None, ""}]


def _payloads(dataset: Dataset) -> Iterator[tuple[str, bytes]]:
    for stream, columns in dataset.index.streams.items():
        for shard, offset, size in zip(dataset.index.shard, columns.offset, columns.size, strict=True):
            if size >= 0:
                data = (dataset.folder / "shards" / dataset.manifest.shards[shard].name).read_bytes()
                yield stream, data[offset : offset + size]


def _verify_refuses(folder: Path, manifest: object) -> bool:
    try:
        verify_dataset(folder, manifest)  # type: ignore[arg-type]
    except Problems:
        return True
    return False


def main() -> None:
    """Print one line per kind of file, then one JSON line; exit 1 unless every goal holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        corpus = Corpus(Path(temporary))
        corpus.run(200, seed=options.seed + 1)  # caches are warm before memory is measured
        seen: list[str] = []
        sys.addaudithook(lambda event, _: seen.append(event) if event in CODE_EVENTS else None)
        process, started = psutil.Process(), time.perf_counter()
        before = process.memory_info().rss
        reports = corpus.run(options.count, seed=options.seed)
        growth = (process.memory_info().rss - before) / 2**20
    for name, report in reports.items():
        print(f"{name:9s} {dict(report.outcomes)} slowest {report.slowest_s:.3f} s")
        print(
            *(f"  {k}: {v}" for k, v in report.examples.items() if k not in {"refused", "harmless", "decoded"}),
            sep="\n",
        )
    bad = sum(r.outcomes[k] for r in reports.values() for k in ("silent", "untyped", "unnamed", "unverified"))
    slowest = max(report.slowest_s for report in reports.values())
    summary = {"mutants": options.count, "bad": bad, "slowest_s": round(slowest, 3), "growth_mib": round(growth, 1)}
    print(json.dumps(summary | {"code_events": sorted(set(seen)), "seconds": round(time.perf_counter() - started, 1)}))
    sys.exit(bad > 0 or slowest > 5 or growth > 50 or bool(seen))


if __name__ == "__main__":
    main()
