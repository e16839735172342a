"""A search over a specification's values: rows and embeddings once, then one head a trial."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from ruamel.yaml import YAML

from tfx_fusion.modules.errors import SpecificationError, suggestion
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.spec import Specification, Tuning, load_specification, read_tree
from tfx_fusion.modules.tuning.space import candidates, misfit, with_values
from tfx_fusion.pipeline.prepare import Prepared
from tfx_fusion.pipeline.run import Run, recorded, run_steps, stage_plans

if TYPE_CHECKING:  # they import Keras
    from tfx_fusion.modules.embedding.plan import StagePlan
    from tfx_fusion.modules.tuning.search import Trial


@dataclass
class Tuned:
    """What a search came to: all trials, the best, and the files that tell of them."""

    run: Run
    objective: str
    trials: list[Trial] = field(default_factory=list)
    best: Trial | None = None
    specification: Path = Path()
    table: Path = Path()
    picture: Path = Path()


def tune(specification_file: Path, console: Console) -> Tuned:
    """Searches what the specification's `tuning` names, and writes the best set back.

    Raises SpecificationError before anything starts where a place or a value does not fit,
    RunError where a stage failed or no trial succeeded.
    """
    specification = load_specification(specification_file)
    tuning = specification.tuning
    if tuning is None:
        raise SpecificationError(
            [f"{specification_file}: 'tuning' is missing: write what to search, for instance\n"
             "    tuning: {search: {training.stages.0.learning_rate: {min: 1e-4, max: 1e-2, "
             "scale: log}}}"]
        )  # fmt: skip
    _logged_objective(specification, tuning)
    tree = read_tree(specification_file)
    for place, value in candidates(tuning):
        with_values(specification_file, tree, {place: value})
    tuned: list[Tuned] = []

    def action(run: Run) -> None:
        checked = _checker(run.prepared, tuning, specification_file, tree)
        plans = run_steps(run, train=False)
        found = _search(run, tuning, checked, plans)
        _write_back(specification_file.resolve(), tree, found)
        tuned.append(found)
        run.record.status = "tuned"

    recorded(specification_file, console, action)
    return tuned[0]


def _logged_objective(specification: Specification, tuning: Tuning) -> tuple[str, bool]:
    """The name under which Keras tells the objective, and whether larger is better."""
    known = {"loss": "val_loss"}
    several = len(specification.outputs) > 1
    for name, output in specification.outputs.items():
        for metric in output.metrics:
            known[f"{name}.{metric}"] = f"val_{name}_{metric}" if several else f"val_{metric}"
    if tuning.objective not in known:
        raise SpecificationError(
            [f"tuning.objective: nothing is measured as '{tuning.objective}'; "
             f"{suggestion(tuning.objective, known)}"]
        )  # fmt: skip
    return known[tuning.objective], not tuning.objective.endswith(("loss", "error"))


# From values by place to the checked specification that holds them.
Checked = Callable[[dict[str, Any]], Specification]


def _checker(prepared: Prepared, tuning: Tuning, file: Path, tree: Any) -> Checked:
    """For `_search`: raises SpecificationError where values do not fit, or change what is embedded.

    Each value that a search may take is tried here by itself, before anything is run.
    """
    # Before TensorFlow: the other way round, Python would crash when it ends.
    import apache_beam  # noqa: F401

    from tfx_fusion.modules.tuning.trial import embedded_stages

    specification = prepared.specification
    plans = stage_plans(prepared)
    count = embedded_stages(plans)
    if not count:
        raise SpecificationError(
            [f"tuning: a search needs a first stage on embeddings alone, found {plans[0].why}"]
        )
    for place in tuning.search:
        for position in range(count, len(plans)):
            if place.startswith(f"training.stages.{position}."):
                name = specification.training.stages[position].name
                raise SpecificationError(
                    [f"tuning.search.{place}: no trial comes to the stage '{name}': trials end "
                     f"before the first stage that needs sub-models ({plans[count].why})"]
                )  # fmt: skip

    def checked(values: dict[str, Any]) -> Specification:
        _, changed = with_values(file, tree, values)
        changed = changed.model_copy(update={"submodels": specification.submodels})  # with paths
        try:
            found = stage_plans(Prepared(changed, prepared.inspections))
        except SpecificationError as error:
            raise misfit(values, error) from None
        if found[:count] != plans[:count]:
            raise SpecificationError(
                [f"tuning.search: {', '.join(values)} changes what is embedded: search the head"]
            )
        return changed

    for place, value in candidates(tuning):
        checked({place: value})
    return checked


def _search(run: Run, tuning: Tuning, checked: Checked, plans: list[StagePlan]) -> Tuned:
    from tfx_fusion.modules.training.sources import EmbeddedStore
    from tfx_fusion.modules.tuning.picture import draw_trials
    from tfx_fusion.modules.tuning.search import search
    from tfx_fusion.modules.tuning.trial import train_head

    specification, interfaces = run.prepared.specification, run.prepared.interfaces
    folders = [str(folder) for folder in run.record.outputs("embeddings")]
    store = EmbeddedStore(plans, folders)
    name, maximise = _logged_objective(specification, tuning)

    def run_trial(values: dict[str, Any]) -> float:
        return train_head(checked(values), interfaces, plans, store)[name]

    def tell(number: int, trial: Trial) -> None:
        score = "failed" if trial.score is None else f"{tuning.objective} {trial.score:.4f}"
        run.terminal.print(
            f"trial {number}/{tuning.trials}: {score} in {trial.seconds:.1f} s  "
            f"{told(trial.values)}{trial.error and f': {trial.error}'}",
            highlight=False, soft_wrap=True, markup=False,
        )  # fmt: skip

    # The same search is taken up where it was left; whatever it depends on makes it another one.
    depends = specification.as_computed().model_dump_json(exclude={"publish", "evaluation"})
    digest = hashlib.sha256(json.dumps([depends, folders]).encode())
    state = run.place.folder / "tuning" / digest.hexdigest()[:16]
    trials, best = search(tuning, specification.training.seed, maximise, state, run_trial, tell)

    found = Tuned(run, tuning.objective, trials, best)
    found.table, found.picture = run.folder / "trials.csv", run.folder / "trials.svg"
    _write_table(trials, tuning, found.table)
    draw_trials(trials, best, tuning.objective, maximise, tuning.search, found.picture)
    return found


def _write_back(file: Path, tree: Any, found: Tuned) -> None:
    """Writes the specification with the best values beside the one that was searched."""
    best = found.best.values if found.best else {}
    found.specification = file.with_name(f"{file.stem}.tuned{file.suffix}")
    stream = StringIO()
    yaml = YAML(typ="rt")
    yaml.width = 4096  # lines stay as they were
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(with_values(file, tree, best)[0], stream)
    write_text(found.specification, stream.getvalue())


def told(values: dict[str, Any]) -> str:
    """A set of values in one line."""
    return ", ".join(
        f"{place} {value:.4g}" if isinstance(value, float) else f"{place} {value}"
        for place, value in values.items()
    )


def _write_table(trials: list[Trial], tuning: Tuning, path: Path) -> None:
    stream = StringIO()
    writer = csv.writer(stream)
    writer.writerow(["trial", *tuning.search, tuning.objective, "seconds", "error"])
    for number, trial in enumerate(trials, 1):
        score = "" if trial.score is None else trial.score
        values = [trial.values[place] for place in tuning.search]
        writer.writerow([number, *values, score, round(trial.seconds, 3), trial.error])
    write_text(path, stream.getvalue())
