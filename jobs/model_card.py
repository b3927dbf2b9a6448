"""The card of an exported model: what it is for, what it learned from, how good it is beside controls, its limits."""

from collections.abc import Iterator

from pydantic import JsonValue

from jobs._provenance import provenance
from jobs._run_folder import RunFolder, numbers
from jobs.configs import Recipe
from jobs.served.bundle import Bundle, BundledHead
from jobs.stored_gains import stored_gains
from modalities.catalogue import AnySchema
from modalities.image.codec import ImageSchema
from modalities.sensor.codec import SensorSchema
from modalities.text.codec import TextSchema
from pipeline.data.manifest import Manifest
from pipeline.evaluate.gain import Gain
from pipeline.evaluate.results import ResultRow, rows_from_metrics
from pipeline.evaluate.verdict import target_gain_lines, verdict


def model_card(recipe: Recipe, folder: RunFolder, manifest: Manifest, bundle: Bundle, *, uri: str) -> str:
    """Markdown."""
    rows = rows_from_metrics(numbers(folder.metrics(("probe", "finetune"))))
    lines = [
        f"# {recipe.name}",
        *([recipe.description] if recipe.description else []),
        *_use(bundle, uri),
        *_inputs(bundle),
        *_origin(manifest, bundle),
        *_results(rows, stored_gains(folder)),
        *_limits(recipe, folder, manifest, bundle),
    ]
    return "\n\n".join(line.rstrip() for line in lines) + "\n"


def _use(bundle: Bundle, uri: str) -> Iterator[str]:
    yield "## Use"
    gives = "an embedding of each stream that a sample has (`embeddings`) and one of all of them (`fused`)"
    if bundle.head is not None:
        gives += f", and the classes of `{bundle.head.label}` with their probabilities"
    yield f"The model takes raw samples and gives {gives}. Streams may be missing in any sample, but not all of them."
    yield f"    mlflow models serve -m {uri} --env-manager local --port 5001"
    yield "    curl localhost:5001/invocations -H 'Content-Type: application/json' -d @serving_input_example.json"
    yield (
        "Made for data like those it learned from. Whether it helps on others has to be measured there; "
        "it is no medical or safety device."
    )


def _inputs(bundle: Bundle) -> Iterator[str]:
    yield "## Streams"
    yield "\n".join(f"- `{name}`: {_asked(known.schema_)}" for name, known in bundle.asked.items())
    yield f"At most {bundle.max_samples} samples a request. Refusals are typed, have status 400 and quote no data."


def _asked(schema: AnySchema) -> str:
    match schema:
        case SensorSchema():
            units = ", in " + ", ".join(schema.units) if schema.units else ""
            return (
                f"`values` (a row of 1 to {schema.max_steps} numbers or nulls for each channel), `channels` "
                f"({', '.join(schema.channels)}; any order){units}, `rate_hz` {schema.rate_hz:g}"
            )
        case ImageSchema():
            return f"a PNG, JPEG or WebP file in base64, of at most {schema.max_pixels} pixels"
        case TextSchema():
            return f"a string of at most {schema.max_characters} characters"


def _origin(manifest: Manifest, bundle: Bundle) -> Iterator[str]:
    counts = ", ".join(f"{count} {name}" for name, count in manifest.split.counts.items())
    facts: dict[str, str] = {
        f"data set {manifest.name}": f"{counts} samples of {manifest.num_records} records",
        "manifest": bundle.manifest_sha256,
        "pretraining": bundle.state_hash,
        "weights": bundle.weights_sha256,
        "code": bundle.code_sha256,
    }
    tags = provenance()
    facts |= {name: tags[name] for name in ("mlflow.source.git.commit", "kindred.git_dirty") if name in tags}
    yield "## Origin"
    yield "\n".join(f"- {name}: {value}" for name, value in facts.items())
    if bundle.head is not None:
        yield f"The head was fine-tuned with {bundle.head.percent:g} % of the labelled training samples."


def _results(rows: list[ResultRow], gains: list[Gain]) -> Iterator[str]:
    yield "## Test accuracy beside controls"
    if not rows:
        yield " ".join(target_gain_lines(gains)) or "Not measured: neither a probe nor a fine-tuning was finished."
        return
    yield verdict(rows, gains)
    table = ["| method | streams | labels | accuracy |", "|---|---|---:|---:|"]
    yield "\n".join([*table, *(f"| {r.title} | {r.subset} | {r.labels} | {_accuracy(r)} |" for r in rows)])


def _accuracy(row: ResultRow) -> str:
    spread = "" if row.sd is None else f" ± {100 * row.sd:.1f}"
    interval = "" if row.low is None or row.high is None else f" ({100 * row.low:.1f} to {100 * row.high:.1f})"
    return f"{100 * row.accuracy:.1f} %{spread}{interval}"


def _limits(recipe: Recipe, folder: RunFolder, manifest: Manifest, bundle: Bundle) -> Iterator[str]:
    yield "## Limits"
    limits = [f"split rule: {manifest.split.rule.get('kind')}; statistics are of the training split alone"]
    limits += [
        f"stream `{name}` is declared to show the label; the head does not read it" for name in recipe.leak.allow
    ]
    if bundle.head is not None:
        limits += [
            f"it names one of {', '.join(bundle.head.classes)} whatever it is shown",
            _calibration(folder, bundle.head),
        ]
    limits += [str(warning) for warning in _warnings((folder.result("probe") or {}).get("warnings"))]
    yield "\n".join(f"- {limit}" for limit in limits)


def _calibration(folder: RunFolder, head: BundledHead) -> str:
    """What is known of the probabilities."""
    if head.temperature is None:
        return "probabilities are not calibrated: no validation samples had labels"
    metrics, name = numbers(folder.metrics(("finetune",))), f"finetune/{head.percent:g}/ece"
    before, after = 100 * metrics[name], 100 * metrics[f"{name}_calibrated"]
    return (
        f"probabilities were calibrated on validation groups (temperature {head.temperature:.3g}): their expected "
        f"calibration error on the test split went from {before:.1f} % to {after:.1f} %"
    )


def _warnings(found: JsonValue) -> list[JsonValue]:
    return found if isinstance(found, list) else []
