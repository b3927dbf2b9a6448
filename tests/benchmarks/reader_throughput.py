"""Decoded, collated batches a second: this reader against webdataset on the same shards, interleaved in one run.

    python -m tests.benchmarks.reader_throughput [--samples 20000] [--rounds 3] [--batch 256]

Tri-modal samples (see `trimodal`), page cache warm, one process with one thread a side:

- `torchrgb`, `rgb8`: WebDataset(...).decode(...) with its own collation; texts stay strings.
- `pillow`, `simplejpeg`: webdataset tuned by hand: frombuffer, one of these JPEG decoders, numpy collation, and the
  tokens that a model needs, by the same tokenizer as here.
- `first`: the reader in file order, checksums included, as in a first epoch: no text has been seen; `later`: again;
  `shuffled`: in a random order of all samples, also seen before.
- `limit`: the same batches decoded from payloads that are already in memory, the limit of any reader.
- `threads_first`, `threads`: `first` and `later` through the read-ahead of training with two threads.
- `..._2`: two worker processes under a torch DataLoader; `first_2` has seen nothing at its start and goes on for four
  epochs.

Prints every round and one JSON line: mean and standard deviation over the rounds of the rates, and of the ratios of
this reader to each peer inside a round; both by the clock and, in one process, by CPU time, which other programs on the
machine disturb less.
"""

# pyright: reportAttributeAccessIssue=false
# webdataset names its classes by star imports.

import argparse
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import simplejpeg
import torch
import webdataset as wds
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from modalities.text.codec import TextCodec
from pipeline.data.read import ShardReader
from pipeline.data.read_ahead import read_ahead
from pipeline.types import Batch
from tests.benchmarks.trimodal import CHANNELS, STEPS, STREAMS, open_trimodal, write_trimodal

Side = Callable[[], tuple[int, float, float]]
"""Run once. Returns samples, seconds, and seconds of CPU time of this process."""

NPY_HEADER = 128
MEMBERS = ("imu.npy", "photo.jpg", "note.txt")


class Batches(Dataset[Batch]):
    """The reader as a map-style data set of whole batches."""

    def __init__(self, reader: ShardReader, order: np.ndarray, *, repeats: int = 1) -> None:
        self.reader, self.parts = reader, list(order) * repeats

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, number: int) -> Batch:
        return self.reader.batch(self.parts[number], streams=STREAMS)


def main() -> None:
    """Write the data, run the rounds and print rates and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one thread on every side
    with tempfile.TemporaryDirectory(prefix="kindred-bench-") as temporary:
        folder = write_trimodal(Path(temporary), num_samples=options.samples, shard_mib=options.samples * 0.01 / 10)
        sides = make_sides(folder, options.batch)
        clock: dict[str, list[float]] = {side: [] for side in sides}
        cpu: dict[str, list[float]] = {side: [] for side in sides if not side.endswith("_2")}
        for number in range(options.rounds):
            for side, run in sides.items():
                samples, seconds, used = run()
                clock[side].append(samples / seconds)
                if side in cpu:
                    cpu[side].append(samples / used)
                print(f"round {number} {side:13s} {clock[side][-1]:9.0f} samples/s", flush=True)
    by_cpu = {side: rates for side, rates in cpu.items() if not side.startswith("threads")}
    found = {"clock": {"samples_per_s": spread(clock, 0), "ratios": spread(ratios(clock), 2)}}
    found["cpu"] = {"samples_per_s": spread(by_cpu, 0), "ratios": spread(ratios(by_cpu), 2)}
    print(json.dumps(found))


def spread(found: dict[str, list[float]], digits: int) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation over the rounds."""
    return {name: (round(statistics.mean(v), digits), round(statistics.pstdev(v), digits)) for name, v in found.items()}


def ratios(found: dict[str, list[float]]) -> dict[str, list[float]]:
    """This reader's rate over a peer's, in every round."""
    peers = ("torchrgb", "rgb8", "pillow", "simplejpeg", "limit")
    ours = ("first", "later", "shuffled", "threads_first", "threads")
    pairs = [(own, peer) for own in ours for peer in peers] + [("first_2", f"{peer}_2") for peer in peers]
    return {
        f"{own}/{peer}": [a / b for a, b in zip(found[own], found[peer], strict=True)]
        for own, peer in pairs
        if own in found and peer in found
    }


def make_sides(folder: Path, size: int) -> dict[str, Side]:
    """All sides by name, in the order of a round."""
    reader = open_trimodal(folder)
    urls = [str(folder / "shards" / shard.name) for shard in reader.manifest.shards]
    steps = len(reader.index) // size
    straight = np.arange(steps * size).reshape(steps, size)
    mixed = np.random.default_rng(0).permutation(len(reader.index))[: steps * size].reshape(steps, size)

    def read(source: ShardReader, order: np.ndarray) -> Iterator[Batch]:
        return (source.batch(idx, streams=STREAMS) for idx in order)

    def ahead(source: ShardReader) -> Iterator[Batch]:
        found = read_ahead(
            straight,
            lambda idx: source.batch(idx, streams=STREAMS),
            readers=2,
            max_bytes=256 << 20,
            size=lambda batch: batch.nbytes,
        )
        return (batch for _, batch in found)

    peers: dict[str, Callable[[], wds.WebDataset]] = {
        "torchrgb": lambda: stock(urls, "torchrgb", size),
        "rgb8": lambda: stock(urls, "rgb8", size),
        "pillow": lambda: tuned(urls, Tuned(reader, by_pillow), size),
        "simplejpeg": lambda: tuned(urls, Tuned(reader, simplejpeg.decode_jpeg), size),
    }
    one: dict[str, Side] = {name: lambda make=make: timed(make()) for name, make in peers.items()}
    one |= {
        "first": lambda: timed(read(open_trimodal(folder), straight)),
        "later": lambda: timed(read(reader, straight)),
        "shuffled": lambda: timed(read(reader, mixed)),
        "limit": lambda: decode_only(reader, straight),
        "threads_first": lambda: timed(ahead(open_trimodal(folder))),
        "threads": lambda: timed(ahead(reader)),
    }
    timed(read(reader, straight))  # every text is known from now on
    two: dict[str, Side] = {f"{name}_2": lambda make=make: timed(workers(make())) for name, make in peers.items()}
    return one | two | {"first_2": lambda: timed(workers(Batches(open_trimodal(folder), straight, repeats=4)))}


def workers(dataset: Dataset[Batch] | wds.WebDataset) -> Iterator[object]:
    """Batches of two worker processes."""
    return iter(DataLoader(dataset, batch_size=None, num_workers=2))


def timed(batches: Iterable[object]) -> tuple[int, float, float]:
    """A `Side` after its first batch: opening files and starting processes are not counted."""
    source = iter(batches)
    next(source)
    samples, started, used = 0, time.perf_counter(), time.process_time()
    for batch in source:
        samples += len(batch if isinstance(batch, Batch) else batch[0])  # type: ignore[index]
    return samples, time.perf_counter() - started, time.process_time() - used


def decode_only(reader: ShardReader, order: np.ndarray) -> tuple[int, float, float]:
    """A `Side` of decoding and collating alone."""
    seconds, cpu_seconds = 0.0, 0.0
    for idx in order:
        payloads = reader.payloads(idx, STREAMS)
        started, used = time.perf_counter(), time.process_time()
        for name in STREAMS:
            reader.codecs[name].decode(payloads[name])
        seconds, cpu_seconds = seconds + time.perf_counter() - started, cpu_seconds + time.process_time() - used
    return order.size, seconds, cpu_seconds


def stock(urls: list[str], image: str, size: int) -> wds.WebDataset:
    """webdataset as its documentation shows it; the metadata members are left out."""
    source = wds.WebDataset(urls, shardshuffle=False, select_files=_wanted)
    return source.decode(image).to_tuple(*MEMBERS).batched(size)


def tuned(urls: list[str], form: "Tuned", size: int) -> wds.WebDataset:
    """webdataset with decoders and collation written for this data."""
    source = wds.WebDataset(urls, shardshuffle=False, select_files=_wanted)
    return source.map(form.decode).batched(size, collation_fn=form.collate)


class Tuned:
    """Decoders and collation for exactly this data."""

    def __init__(self, reader: ShardReader, pixels: Callable[[bytes], np.ndarray]) -> None:
        codec = reader.codecs["note"]
        assert isinstance(codec, TextCodec)
        self.tokenizer, self.length, self.pixels = codec.tokenizer, codec.schema.max_tokens, pixels

    def decode(self, sample: dict[str, bytes]) -> tuple[np.ndarray, np.ndarray, str]:
        """One sample."""
        imu = np.frombuffer(sample["imu.npy"], "<f4", offset=NPY_HEADER).reshape(CHANNELS, STEPS)
        return imu, self.pixels(sample["photo.jpg"]), sample["note.txt"].decode()

    def collate(self, samples: list[tuple[np.ndarray, np.ndarray, str]]) -> tuple[torch.Tensor, ...]:
        """One batch."""
        imu, photo, note = zip(*samples, strict=True)
        ids = np.zeros((len(note), self.length), np.int64)
        for row, found in zip(ids, self.tokenizer.encode_batch_fast(list(note)), strict=True):
            row[: len(found.ids)] = found.ids
        return torch.from_numpy(np.stack(imu)), torch.from_numpy(np.stack(photo)), torch.from_numpy(ids)


def by_pillow(payload: bytes) -> np.ndarray:
    """Pixels (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(payload)).convert("RGB"))


def _wanted(name: str) -> bool:
    return name.endswith(MEMBERS)


if __name__ == "__main__":
    main()
