"""The data set of the reader benchmarks: a 9 x 128 float32 series, a 64 x 64 JPEG and a line of text a sample."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import TypeAdapter

from modalities.catalogue import AnySchema, codec_for
from modalities.image.codec import ImageCodec
from modalities.spec import Codec
from pipeline.data.description import Description
from pipeline.data.index import load_index
from pipeline.data.ingest import ingest
from pipeline.data.manifest import load_manifest, stream_folder
from pipeline.data.read import ShardReader

STREAMS = ("imu", "photo", "note")
CHANNELS, STEPS, SIDE = 9, 128, 64
WORDS = (
    *("a", "the", "person", "slowly", "walks", "turns", "lifts", "lowers", "box", "jar", "lid"),
    *("over", "under", "green", "grey", "wall", "floor", "then", "again", "down"),
)


class AsTheyAre(ImageCodec):
    """Stores JPEG files unchanged: colours at half resolution as Pillow and cameras write them, not as ingest does."""

    def encode(self, value: np.ndarray | str | bytes) -> bytes:
        assert isinstance(value, bytes)
        return value


def write_trimodal(folder: Path, *, num_samples: int, shard_mib: float) -> Path:
    """Write raw files and ingest them. Returns the data set folder."""
    raw, generator = folder / "raw", np.random.default_rng(0)
    (raw / "photo").mkdir(parents=True)
    np.savez(raw / "imu.npz", imu=generator.normal(size=(num_samples, CHANNELS, STEPS)).astype(np.float32))
    lines = ["key,photo,note"]
    for number in range(num_samples):
        (raw / f"photo/{number}.jpg").write_bytes(_jpeg(generator))
        lines.append(f"s{number:06d},photo/{number}.jpg,{' '.join(generator.choice(WORDS, 10))} {number}")
    (raw / "records.csv").write_text("\n".join(lines) + "\n")
    channels = [f"c{number}" for number in range(CHANNELS)]
    source = {"kind": "npz", "path": "imu.npz", "array": "imu", "layout": "CT", "channels": channels, "rate_hz": 50}
    description = Description.model_validate(
        {
            "records": {"kind": "csv", "path": "records.csv", "key": "key"},
            "streams": {
                "imu": source,
                "photo": {"kind": "file", "path": "{photo}"},
                "note": {"kind": "column", "column": "note"},
            },
            "split": {"kind": "groups", "group": "key", "fractions": {"validation": 0.001, "test": 0.001}},
            "groups": {"key": "key"},
            "shard_mib": shard_mib,
        }
    )
    schemas = {
        "imu": {"kind": "sensor", "channels": channels, "rate_hz": 50, "max_steps": STEPS},
        "photo": {"kind": "image", "height": SIDE, "width": SIDE, "store": "jpeg"},
        "note": {"kind": "text", "max_tokens": 32, "vocabulary_size": 400},
    }

    def make_codec(stream: str, own: Path) -> Codec:
        codec = codec_for(TypeAdapter(AnySchema).validate_python(schemas[stream]), own)
        return AsTheyAre(codec.schema) if isinstance(codec, ImageCodec) else codec

    ingest(description, raw, folder / "data", schemas=schemas, make_codec=make_codec)
    return folder / "data"


def _jpeg(generator: np.random.Generator) -> bytes:
    """A detailed picture in about 2.3 kB."""
    coarse = Image.fromarray(generator.integers(0, 256, (11, 11, 3)).astype(np.uint8))
    file = io.BytesIO()
    coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, "JPEG", quality=85)
    return file.getvalue()


def open_trimodal(folder: Path) -> ShardReader:
    """The reader of `write_trimodal`'s data set."""
    manifest = load_manifest(folder)
    adapter: TypeAdapter[AnySchema] = TypeAdapter(AnySchema)
    codecs = {
        name: codec_for(adapter.validate_python(entry.schema_), stream_folder(folder, name))
        for name, entry in manifest.streams.items()
    }
    return ShardReader(folder, manifest, load_index(folder, manifest), codecs)
