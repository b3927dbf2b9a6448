"""Does each part of inter-sample and relational learning teach what it claims? On planted factors, seed by seed.

    python -m tests.benchmarks.learning_gates [--seeds 0 1 2 3 4] [--variants intra inter ...] [--out runs/gates]

"inter" is everything that looks at other samples' pseudo-labels: the inter-sample objective, and weights for the
negatives of intra. A study of gates.yaml: typed again it does what is missing, --at-once runs at a time. Prints, after
the study's table, one of figures with mean and sample sd over seeds, and whether each gate holds, by paired
differences of seeds.
"""

import argparse
import statistics
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score

from jobs._run_folder import RunFolder, numbers
from jobs.stages import STAGES
from jobs.study import run_study
from jobs.study_config import StudyConfig
from jobs.study_plan import StudiedRun, Study, plan_study
from jobs.study_table import cell
from pipeline.data.index import load_index
from pipeline.errors import KindredError

RECIPE = Path(__file__).with_name("gates.yaml")
RELATION = ["relations={tag: {kind: same, column: tag}, device: {kind: same, column: device}}"]


def _objectives(*entries: str) -> str:
    return f"objectives=[{', '.join(entries)}]"


def _inter(more: str = "sampling: random", *, weighted: bool = True) -> list[str]:
    intra = f"{{kind: intra, weight: 0.5, false_negatives: {str(weighted).lower()}}}"
    return [_objectives(intra, f"{{kind: inter, weight: 0.5, {more}}}")]


def _relational(name: str) -> list[str]:
    relation = f"{{kind: relational, relation: {name}, weight: 0.5}}"
    return [_objectives("{kind: intra}", relation), *RELATION]


VARIANTS = {
    "intra": [_objectives("{kind: intra}")],
    "inter": _inter(),
    "inter-without-weights": _inter(weighted=False),
    "inter-margin+0.35": _inter("sampling: random, margin: 0.35"),
    "inter-semihard": _inter("sampling: semihard, negatives: 192"),
    "inter-hard": _inter("sampling: hard, negatives: 192"),
    "intra-weights": [_objectives("{kind: intra, false_negatives: true}")],
    "relation-tag": _relational("tag"),
    "relation-device": _relational("device"),
}
FIGURES = ("linear/1", "linear/5", "linear/10", "linear/100", "knn/100")
GATES = (
    ("inter on at 1 % labels: at least +2 points", "inter", "intra", "linear/1", 0.02),
    ("inter on at 5 % labels: at least +2 points", "inter", "intra", "linear/5", 0.02),
    ("inter on at 100 % labels: never worse", "inter", "intra", "linear/100", 0.0),
    ("clusters follow the activity more with inter", "inter", "intra", "nmi", 0.0),
    ("negative margin not worse than positive", "inter", "inter-margin+0.35", "linear/5", 0.0),
    ("semi-hard not worse than hard", "inter-semihard", "inter-hard", "linear/5", 0.0),
    ("a tag relation raises kNN by at least half a point", "relation-tag", "intra", "knn/100", 0.005),
    ("a device relation does not raise kNN (intra minus device)", "intra", "relation-device", "knn/100", 0.0),
)


def main() -> None:
    """Run what is missing and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/gates"))
    options = parser.parse_args()
    try:
        study = _study(options)
        run_study(study)
    except KindredError as error:
        raise SystemExit(str(error)) from error
    table: dict[str, list[dict[str, float]]] = {}
    for run in study.runs:
        table.setdefault(run.variant, []).append(_figures(run))
    print(report(table))


def _study(options: argparse.Namespace) -> Study:
    config = StudyConfig(
        name="gates",
        recipe=str(RECIPE),
        seeds=tuple(options.seeds),
        variants={name: tuple(VARIANTS[name]) for name in options.variants},
        out=str(options.out),
        at_once=options.at_once,
    )
    return plan_study(config, RECIPE, options.overrides)


def _figures(run: StudiedRun) -> dict[str, float]:
    metrics = numbers(RunFolder(run.recipe.folder).metrics(STAGES))
    figures = {name: metrics[f"probe/fused/{name}/accuracy"] for name in FIGURES}
    figures["nmi"] = _nmi(run.recipe.folder, Path(str(run.recipe.place)))
    plain = {name: value for name, value in metrics.items() if name.endswith("/false_negatives_unweighted")}
    for name, value in plain.items():
        figures |= {"unweighted": value, "false negatives": metrics[name.removesuffix("_unweighted")]}
    return figures


def _nmi(run: Path, data: Path) -> float:
    """Agreement of k-means on frozen training features with the activity, the same for every variant."""
    index = load_index(data)
    rows, activity = index.rows("train"), index.labels("activity")
    table = pq.read_table(run / "probe" / "features.parquet")
    name = next(n for n in table.column_names if n.startswith("imu"))
    features = np.stack(table.column(name).to_numpy(zero_copy_only=False))[rows]
    directions = features / np.linalg.norm(features, axis=1)[:, None]
    clusters = KMeans(15, n_init=3, random_state=0).fit_predict(directions)  # pyright: ignore[reportArgumentType]
    return float(normalized_mutual_info_score(activity[rows], clusters))


def report(table: dict[str, list[dict[str, float]]]) -> str:
    """Markdown: figures in percent, mean ± sample sd over seeds; then the gates as paired differences."""
    names = [*FIGURES, "nmi"]
    lines = ["| variant | " + " | ".join(names) + " |", "|---" + "|---:" * len(names) + "|"]
    for variant, seeds in table.items():
        lines.append(f"| {variant} | " + " | ".join(cell([100 * s[name] for s in seeds]) for name in names) + " |")
    lines.append("")
    for text, first, second, name, least in GATES:
        if first in table and second in table:
            pairs = zip(table[first], table[second], strict=True)
            gains = [100 * (a[name] - b[name]) for a, b in pairs]
            verdict = "holds" if statistics.mean(gains) >= 100 * least else "DOES NOT HOLD"
            lines.append(f"- {text}: {cell(gains)} ({verdict}; each seed: {', '.join(f'{g:+.1f}' for g in gains)})")
    for variant, seeds in table.items():
        if "unweighted" in seeds[0]:
            before, after = ([100 * s[name] for s in seeds] for name in ("unweighted", "false negatives"))
            lines.append(f"- {variant}: false negatives {cell(before)} % unweighted, {cell(after)} % weighted")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
