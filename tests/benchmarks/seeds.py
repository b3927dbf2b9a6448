"""Mean and spread of a recipe over seeds, beside its controls.

    python -m tests.benchmarks.seeds RECIPE [KEY=VALUE ...] --seeds 0 1 2

Every seed is a run of its own (`<out>-seed<n>`) of the whole recipe, or of `--stages`, on one shared data set; a
finished seed is not run again, so the command can be stopped and typed again. Prints a Markdown table and a JSON line.
"""

import argparse
import json
import statistics
from pathlib import Path

from jobs.configs import Recipe
from jobs.run import run_recipe
from pipeline.config import load_config
from pipeline.errors import KindredError
from pipeline.evaluate.results import ResultRow, rows_from_metrics


def main() -> None:
    """Run the seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--stages", nargs="+", default=["ingest", "pretrain", "probe", "finetune", "report"])
    options = parser.parse_args()
    recipe = load_config(Recipe, options.recipe, options.overrides)
    found = [_run(recipe, options, seed) for seed in options.seeds]
    print(table([rows_from_metrics(metrics) for metrics in found]))
    print(json.dumps({name: [metrics.get(name) for metrics in found] for name in found[0] if "accuracy" in name}))


def _run(recipe: Recipe, options: argparse.Namespace, seed: int) -> dict[str, float]:
    shared = f"data.path={recipe.dataset_folder}"
    overrides = [*options.overrides, f"seed={seed}", f"out={recipe.folder}-seed{seed}", shared]
    try:
        result = run_recipe(options.recipe, overrides, fork=None, stages=options.stages)
    except KindredError as error:
        raise SystemExit(f"seed {seed}: {error}") from error
    metrics = result["metrics"]
    assert isinstance(metrics, dict)
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}


def table(seeds: list[list[ResultRow]]) -> str:
    """Methods x label shares; cells are mean ± sample sd over seeds, in percent."""
    cells: dict[tuple[str, str], dict[float, list[float]]] = {}
    for rows in seeds:
        for row in rows:
            cells.setdefault((row.subset, row.title), {}).setdefault(row.percent, []).append(100 * row.accuracy)
    percents = sorted({percent for values in cells.values() for percent in values})
    lines = ["| streams | method | " + " | ".join(f"{p:g} % labels" for p in percents) + " |"]
    lines.append("|---|---" + "|---:" * len(percents) + "|")
    for (subset, title), values in cells.items():
        lines.append(f"| {subset} | {title} | " + " | ".join(_cell(values.get(p, [])) for p in percents) + " |")
    return "\n".join(lines)


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


if __name__ == "__main__":
    main()
