"""Attacks by weights: given as `pretrained`, to an encoder, or laid into a run folder that is resumed."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load, save

from jobs._run_folder import RunFolder
from jobs.assemble import open_dataset
from jobs.configs import Recipe
from jobs.frozen import encoders_of
from jobs.ingest import ingest_recipe
from jobs.pretrain import pretrain
from jobs.pretrained import pretrained_encoders
from pipeline.config import load_config
from tests.faults import weight_files
from tests.faults.watch import Attempt
from tests.faults.weight_files import Change, header, replace_part, sign_manifest
from tests.modalities.tiny_weights import save_tiny_bert

TINY = Path(__file__).parents[1] / "e2e" / "tiny.yaml"
SMALL = (
    "data.generate.events_per_session=8", "pretrain.epochs=1", "pretrain.batch_size=4", "pretrain.micro_batches=2",
    "pretrain.ema_decay=0.9", 'objectives=[{"kind": "intra", "projection": {"hidden": 8, "dim": 4}}]', "relations={}",
)  # fmt: skip
IMU = '{"kind": "resnet", "widths": [8], "strides": [2], "features": 12, "groups": 2}'
BERT = '{"kind": "pretrained", "name": "%s"}'


def _recipe(out: Path, *overrides: str, streams: str = f'{{"imu": {{"kind": "sensor", "encoder": {IMU}}}}}') -> Recipe:
    return load_config(Recipe, TINY, [*SMALL, f"out={out}", f"streams={streams}", *overrides])


def train(root: Path) -> None:
    """The run that the attacks are made from; what honest loading allocates is there afterwards."""
    recipe = _recipe(root / "trained")
    ingest_recipe(recipe)
    for _ in range(2):
        pretrain(recipe, [open_dataset(root / "trained" / "data")], root / "trained" / "pretrain")
    for name in ("resume-honest", "probe-honest", "encoder-honest"):
        (root / f"warm-{name}").mkdir()
        ATTEMPTS[name].act(root / f"warm-{name}")


def _stolen(folder: Path, change: Callable[[Path], object]) -> Path:
    """A copy of the trained run with one checkpoint, which is changed."""
    run = folder / "run"
    shutil.copytree(folder.parent / "trained" / "pretrain", run / "pretrain")
    *older, newest = sorted((run / "pretrain" / "checkpoints").glob("step-*"))
    for path in older:
        shutil.rmtree(path)
    change(newest)
    return run


def resume(change: Callable[[Path], object]) -> Attempt:
    """The owner of a run goes on with a checkpoint that somebody has changed."""

    def act(folder: Path) -> None:
        run = _stolen(folder, change)
        pretrain(_recipe(run), [open_dataset(folder.parent / "trained" / "data")], run / "pretrain")

    return Attempt(lambda folder: None, act)


def probe(change: Callable[[Path], object]) -> Attempt:
    """Somebody else's run folder is named as `pretrained`."""

    def act(folder: Path) -> None:
        run = _stolen(folder, change)
        (run / "pretrain" / "result.json").write_text(json.dumps({"metrics": {}, "steps": 6}))
        recipe = _recipe(folder / "own", f"pretrained={run}")
        dataset = open_dataset(folder.parent / "trained" / "data")
        encoders_of(recipe, dataset, pretrained_encoders(recipe, RunFolder(folder / "own")))

    return Attempt(lambda folder: None, act)


def pretrained(write: Callable[[Path], object], name: str) -> Attempt:
    """Weights of another format are named as `pretrained`."""
    return Attempt(
        lambda folder: write(folder / "weights"),
        lambda folder: pretrained_encoders(
            _recipe(folder / "own", f"pretrained={folder / 'weights' / name}"), RunFolder(folder / "own")
        ),
    )


def encoder(change: Callable[[Path], object]) -> Attempt:
    """A folder of the transformers library is named as an encoder's weights."""

    def act(folder: Path) -> None:
        save_tiny_bert(folder / "bert")
        change(folder / "bert")
        streams = f'{{"note": {{"kind": "text", "encoder": {BERT % (folder / "bert")}}}}}'
        encoders_of(_recipe(folder / "own", streams=streams), open_dataset(folder.parent / "trained" / "data"), None)

    return Attempt(lambda folder: None, act)


def tensors(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Change:
    """Other tensors in a well-formed file."""
    return lambda payload: save(change(load(payload)))


def nan_first(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """One NaN in the first tensor of floats."""
    name = next(name for name in sorted(found) if found[name].is_floating_point() and found[name].numel())
    found[name].view(-1)[0] = torch.nan
    return found


def _first(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    return tensors(lambda found: {k: change(v).contiguous() if k.endswith(name) else v for k, v in found.items()})


def _rewritten(folder: Path, change: Change) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(change(path.read_bytes()))


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(weight_files.canary())


def _with_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(weight_files.TOUCH)


def _holes(path: Path) -> None:
    with (path / "model.safetensors").open("r+b") as file:
        file.truncate(8 << 30)


def _nowhere(checkpoint: Path) -> None:
    sign_manifest(checkpoint, lambda body: {**body, "state": {"position": {"step": -1}}})


FORMS: Mapping[str, Change] = {
    "pickle": lambda payload: weight_files.canary(),
    "huge-header": weight_files.huge_header,
    "overlap": header(weight_files.overlap),
    "terabytes": header(weight_files.terabytes),
    "unknown-type": header(weight_files.six_bits),
    "deep-header": lambda payload: (200_000).to_bytes(8, "little") + b"[" * 200_000,
}
CONTENTS: Mapping[str, Change] = {
    "nan": tensors(nan_first),
    "half": tensors(lambda found: {k: v.half() if v.is_floating_point() else v for k, v in found.items()}),
    "extra": tensors(lambda found: {**found, "evil": torch.zeros(3)}),
    "missing": tensors(lambda found: dict(list(found.items())[1:])),
    "shape": tensors(lambda found: {k: v[None].contiguous() for k, v in found.items()}),
}


def _part(name: str, change: Change, *, sign: bool = True) -> Callable[[Path], object]:
    return lambda checkpoint: replace_part(checkpoint, name, change, sign=sign)


ATTEMPTS: Mapping[str, Attempt] = {
    "resume-honest": resume(lambda checkpoint: None),
    "probe-honest": probe(lambda checkpoint: None),
    "encoder-honest": encoder(lambda folder: None),
    **{f"resume-{name}": resume(_part("model", form)) for name, form in FORMS.items()},
    **{f"probe-{name}": probe(_part("model", form)) for name, form in FORMS.items()},
    **{f"resume-{part}-{name}": resume(_part(part, content)) for name, content in CONTENTS.items()
       for part in ("model", "optimizer", "average")},
    **{f"probe-{name}": probe(_part("average", CONTENTS[name])) for name in ("nan", "half", "shape")},
    "resume-holes": resume(_holes),
    "resume-position": resume(_nowhere),
    "pretrained-distributed": pretrained(weight_files.write_distributed, ""),
    "pretrained-mlflow": pretrained(weight_files.write_mlflow_model, ""),
    "pretrained-folder": pretrained(weight_files.write_pickles, ""),
    **{f"pretrained-{suffix}": pretrained(weight_files.write_pickles, f"weights.{suffix}")
       for suffix in ("pt", "pth", "bin", "ckpt", "pkl", "pt2")},
    "pretrained-zip": pretrained(weight_files.write_pickles, "ZIP.PT"),
    "encoder-pickle": encoder(_pickled),
    "encoder-code": encoder(_with_code),
    "encoder-nan": encoder(lambda folder: _rewritten(folder, CONTENTS["nan"])),
    "encoder-shape": encoder(lambda folder: _rewritten(folder, CONTENTS["shape"])),
    **{f"encoder-{name}": encoder(lambda folder, form=form: _rewritten(folder, form)) for name, form in FORMS.items()},
}  # fmt: skip
