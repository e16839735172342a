"""A search over a specification's values: rows and embeddings once, then one head a trial."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from ruamel.yaml import YAML

from tfx_fusion.modules import spec
from tfx_fusion.modules.errors import SpecificationError, suggestion
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.spec.views import search_view
from tfx_fusion.modules.tuning.space import invalid_values, searched_values, with_values
from tfx_fusion.pipeline.consoles import print_line
from tfx_fusion.pipeline.prepare import Prepared
from tfx_fusion.pipeline.run import OngoingRun, recorded, run_steps, stage_plans

if TYPE_CHECKING:  # they import Keras
    from tfx_fusion.modules.embedding.plan import StagePlan
    from tfx_fusion.modules.tuning.search import Trial


@dataclass(frozen=True)
class Tuned:
    """The result of a search: all trials, the best, and the files that were written."""

    objective: str
    trials: list[Trial]
    best: Trial
    specification: Path
    table: Path
    picture: Path


def tune(specification_file: Path, console: Console) -> Tuned:
    """Searches what the specification's `tuning` names, and writes the best set back.

    Raises SpecificationError before anything starts where a key or a value is invalid, RunError
    where a step failed or no trial succeeded.
    """
    specification = spec.load_specification(specification_file)
    tuning = specification.tuning
    if tuning is None:
        raise SpecificationError(
            f"{specification_file}: 'tuning' is missing: write what to search, for instance\n"
            "    tuning: {search: {training.stages.0.learning_rate: {min: 1e-4, max: 1e-2, "
            "scale: log}}}"
        )
    _logged_objective(specification, tuning)
    tree = spec.read_tree(specification_file)
    for key, value in searched_values(tuning):
        with_values(specification_file, tree, {key: value})
    tuned: list[Tuned] = []

    def action(run: OngoingRun) -> None:
        checked = _checker(run.prepared, tuning, specification_file, tree)
        plans = run_steps(run, train=False)
        trials, best = _search(run, tuning, checked, plans)
        tuned.append(_written(trials, best, run, tuning, tree, specification_file.resolve()))
        run.record.status = "tuned"

    recorded(specification_file, console, action)
    return tuned[0]


def _logged_objective(specification: spec.Specification, tuning: spec.Tuning) -> tuple[str, bool]:
    """The name under which Keras logs the objective, and whether larger is better."""
    known = {"loss": "loss"}
    for name, output in specification.outputs.items():
        for metric in output.metrics:
            known[f"{name}.{metric}"] = spec.logged_as(specification, name, metric)
    if tuning.objective not in known:
        raise SpecificationError(
            f"tuning.objective: expected a loss or metric of an output, found "
            f"'{tuning.objective}'; {suggestion(tuning.objective, known)}"
        )
    name = f"val_{known[tuning.objective]}"
    return name, spec.logged(specification)[name] == "max"


# From values by key to the checked specification that has them.
Check = Callable[[dict[str, Any]], spec.Specification]


def _checker(prepared: Prepared, tuning: spec.Tuning, file: Path, tree: Any) -> Check:
    """The check of a trial's values; every single value of the search is checked at once.

    The check raises SpecificationError where values are invalid or change what is embedded.
    """
    # Before TensorFlow: in the other order, Python crashes at exit.
    import apache_beam  # noqa: F401

    from tfx_fusion.modules.tuning.trial import embedded_stages

    specification = prepared.specification
    plans = stage_plans(prepared)
    count = embedded_stages(plans)
    if not count:
        raise SpecificationError(
            f"tuning: expected a first stage that trains on embeddings, found {plans[0]}"
        )
    for key in tuning.search:
        for position in range(count, len(plans)):
            if key.startswith(f"training.stages.{position}."):
                name = specification.training.stages[position].name
                raise SpecificationError(
                    f"tuning.search.{key}: trials do not reach the stage '{name}': they end "
                    f"before the first stage that needs sub-models ({plans[count]}); search an "
                    "earlier stage"
                )

    def checked(values: dict[str, Any]) -> spec.Specification:
        _, changed = with_values(file, tree, values)
        changed = changed.changed(submodels=specification.submodels)  # with paths
        try:
            found = stage_plans(Prepared(changed, prepared.inspections))
        except SpecificationError as error:
            raise invalid_values(values, error) from None
        if found[:count] != plans[:count]:
            raise SpecificationError(
                f"tuning.search: {', '.join(values)} changes what is embedded; search the head"
            )
        return changed

    for key, value in searched_values(tuning):
        checked({key: value})
    return checked


def _search(
    run: OngoingRun, tuning: spec.Tuning, checked: Check, plans: list[StagePlan]
) -> tuple[list[Trial], Trial]:
    from tfx_fusion.modules.training.stage_data import EmbeddedStore
    from tfx_fusion.modules.tuning.search import search
    from tfx_fusion.modules.tuning.trial import train_head

    specification = run.prepared.specification
    folders = [str(folder) for folder in run.record.outputs("embeddings")]
    store = EmbeddedStore(plans, folders)
    name, maximise = _logged_objective(specification, tuning)

    def score(values: dict[str, Any]) -> float:
        return train_head(checked(values), run.prepared.interfaces, plans, store)[name]

    def print_trial(number: int, trial: Trial) -> None:
        result = "failed" if trial.score is None else f"{tuning.objective} {trial.score:.4f}"
        values = ", ".join(f"{key} {value_text(value)}" for key, value in trial.values.items())
        text = f"trial {number}/{tuning.trials}: {result} in {trial.seconds:.1f} s  {values}"
        print_line(run.terminal, f"{text}: {trial.error}" if trial.error else text)

    # The same search continues where it was stopped; any change of what it depends on starts anew.
    depends = search_view(specification)
    digest = hashlib.sha256(json.dumps([depends, folders]).encode())
    state = run.place.folder / "tuning" / digest.hexdigest()[:16]
    return search(tuning, specification.training.seed, maximise, state, score, print_trial)


def _written(
    trials: list[Trial], best: Trial, run: OngoingRun, tuning: spec.Tuning, tree: Any, file: Path
) -> Tuned:
    """Writes the trials into the run's folder, and the best values beside the file searched."""
    from tfx_fusion.modules.tuning.picture import draw_trials

    tuned = Tuned(
        tuning.objective, trials, best, file.with_name(f"{file.stem}.tuned{file.suffix}"),
        run.folder / "trials.csv", run.folder / "trials.svg",
    )  # fmt: skip
    write_text(tuned.table, _table(trials, tuning))
    _, maximise = _logged_objective(run.prepared.specification, tuning)
    draw_trials(trials, best, tuning.objective, maximise, tuning.search, tuned.picture)
    stream = StringIO()
    yaml = YAML(typ="rt")
    yaml.width = 4096  # no line is broken
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(with_values(file, tree, best.values)[0], stream)
    write_text(tuned.specification, stream.getvalue())
    return tuned


def value_text(value: Any) -> str:
    """A searched value as it is printed."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(trials: list[Trial], tuning: spec.Tuning) -> str:
    stream = StringIO()
    writer = csv.writer(stream)
    writer.writerow(["trial", *tuning.search, tuning.objective, "seconds", "error"])
    for number, trial in enumerate(trials, 1):
        # The module csv writes None as an empty cell.
        values = [trial.values[key] for key in tuning.search]
        writer.writerow([number, *values, trial.score, round(trial.seconds, 3), trial.error])
    return stream.getvalue()
