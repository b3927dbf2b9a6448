"""Mean and spread of a recipe over seeds, beside its controls: a study without variants.

    python -m tests.benchmarks.seeds RECIPE [KEY=VALUE ...] --seeds 0 1 2

Every seed is a run of its own (`<out>-seeds/recipe-seed<n>`) of the whole recipe, or of `--stages`, on one shared data
set; a finished seed is not run again, so the command can be stopped and typed again.
"""

import argparse
from pathlib import Path

from jobs.configs import Recipe
from jobs.study import run_study
from jobs.study_config import StudyConfig
from jobs.study_plan import plan_study
from pipeline.config import load_config
from pipeline.errors import KindredError


def main() -> None:
    """Run the seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--stages", nargs="+", default=["pretrain", "probe", "finetune", "report"])
    options = parser.parse_args()
    try:
        recipe = load_config(Recipe, options.recipe, options.overrides)
        study = StudyConfig(
            name=recipe.name,
            recipe=str(options.recipe),
            stages=tuple(options.stages),
            seeds=tuple(options.seeds),
            variants={"recipe": ()},
            out=f"{recipe.folder}-seeds",
        )
        run_study(plan_study(study, options.recipe, options.overrides))
    except KindredError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
