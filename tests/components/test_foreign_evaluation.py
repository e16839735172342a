"""FusionEvaluator on what components of TFX's own leave: their examples, models and resolvers."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import foreign
import numpy as np
import pytest
from made_once import once
from pydantic import ValidationError

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.evaluation.quality import Quality, read_quality
from tfx_fusion.modules.spec import CategoryLabel, Evaluation
from tfx_fusion.modules.spec.evaluated import EvaluatedOutput, EvaluationView

pytestmark = pytest.mark.component

NO_WORSE = {"steep": {"accuracy": {"change": {"min": 0.0}}}}


def task(thresholds: Any = NO_WORSE, **label: Any) -> EvaluationView:
    known = {"type": "category", "column": "steep", "classes": ("no", "yes"), **label}
    return EvaluationView(
        labels={"steep": CategoryLabel.model_validate(known)},
        outputs={"steep": EvaluatedOutput(kind="binary", metrics=("accuracy", "log_loss"))},
        evaluation=Evaluation.model_validate({"thresholds": thresholds, "slices": ["region"]}),
    )


def unknown_label() -> EvaluationView:
    """Of which neither the name nor the column is a feature of the examples."""
    wanted = task({}, column="slope")
    output = wanted.outputs["steep"].changed(label="slopes")
    return wanted.changed(labels={"slopes": wanted.labels["steep"]}, outputs={"steep": output})


@pytest.fixture(scope="module")
def data(shared_folder: Path) -> Path:
    return once(shared_folder / "foreign", foreign.write_examples)


@pytest.fixture
def evaluate(data: Path, tmp_path: Path) -> Callable[..., Any]:
    """Runs the executor as the component would have it; returns the blessing and the quality."""

    def run(
        candidate: Any,
        baseline: Any = (),
        wanted: EvaluationView | None = None,
        split: str = "validation",
    ) -> tuple[Any, Quality]:
        from tfx.types import channel_utils, standard_artifacts

        from tfx_fusion.components.fusion_evaluator import executor
        from tfx_fusion.components.fusion_evaluator.component import FusionEvaluator

        examples, given = foreign.examples_in(data), [candidate, *baseline]
        node = FusionEvaluator(
            wanted or task(),
            examples=channel_utils.as_channel([examples]),
            model=channel_utils.as_channel([candidate]),
            baseline_model=channel_utils.as_channel(given[1:] or [standard_artifacts.Model()]),
            split=split,
        )
        outputs = {
            "evaluation": standard_artifacts.ModelEvaluation(),
            "blessing": standard_artifacts.ModelBlessing(),
        }
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        for key, artifact in outputs.items():
            artifact.uri = str(folder / key)
        context = executor.Executor.Context(
            beam_pipeline_args=[foreign.RUNNER], tmp_dir=str(folder / "temporary")
        )
        executor.Executor(context).Do(
            {"examples": [examples], "model": [candidate], "baseline_model": list(baseline)},
            {key: [artifact] for key, artifact in outputs.items()},
            node.exec_properties,
        )
        return outputs["blessing"], read_quality(folder / "evaluation")

    return run


def blessed(blessing: Any) -> bool:
    from tfx.components.util.model_utils import is_model_blessed

    return bool(is_model_blessed(blessing))


def test_a_model_of_a_trainer_is_measured_and_compared_as_numpy_computes(
    evaluate: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    """The baseline answers always the other way: the change is the whole difference."""
    candidate = foreign.save_model(tmp_path / "candidate")
    baseline = foreign.save_model(tmp_path / "baseline", slope=-1.0, by_examples=False)

    blessing, quality = evaluate(candidate, [baseline])

    columns = foreign.read(data, "validation")
    truth = (columns["steep"] == b"yes")[:, None]
    chances = foreign.chances(columns)
    right = ((chances > 0.5) == truth).mean()
    loss = -np.log(np.where(truth, chances, 1 - chances)).mean()
    accuracy, log_loss = (line for line in quality.lines if not line.slice)
    assert accuracy.rows == len(truth)
    assert accuracy.value == pytest.approx(right, abs=1e-6)
    assert log_loss.value == pytest.approx(loss, abs=1e-5)
    assert accuracy.change == pytest.approx(2 * right - 1, abs=1e-6)
    assert [bound.met for bound in accuracy.bounds] == [right >= 0.5]
    regions = {line.slice["region"]: line.rows for line in quality.lines if line.slice}
    assert regions == {
        name: int((columns["region"] == name.encode()).sum()) for name in ("north", "south")
    }
    assert blessed(blessing)
    assert blessing.get_string_custom_property("model_digest")


def test_a_baseline_that_cannot_be_measured_keeps_the_blessing_back(
    evaluate: Callable[..., Any], tmp_path: Path
) -> None:
    candidate = foreign.save_model(tmp_path / "candidate")
    other = foreign.save_model(tmp_path / "other", output="price")

    blessing, quality = evaluate(candidate, [other])

    assert not blessed(blessing)
    assert (Path(blessing.uri) / "NOT_BLESSED").is_file()
    [missed] = quality.missed
    assert missed.startswith(
        "steep.accuracy: change not checked: the baseline cannot be measured: "
    )
    assert "expected a model with the outputs ['steep'], found ['price']" in missed


def reason(data: Path, candidate: Any, baseline: list[Any], wanted: EvaluationView) -> Any:
    from tfx_fusion.components.fusion_evaluator.baseline import no_champion
    from tfx_fusion.modules.training.exported import first_rows

    rows = first_rows(str(data / "examples" / "Split-validation"))
    return no_champion(candidate, baseline, wanted, rows)


def test_bounds_of_a_change_are_skipped_where_there_is_nothing_to_change_from(
    data: Path, tmp_path: Path
) -> None:
    from tfx.types import standard_artifacts

    candidate = foreign.save_model(tmp_path / "candidate")
    empty, broken = standard_artifacts.Model(), standard_artifacts.Model()
    empty.uri, broken.uri = str(tmp_path / "empty"), str(tmp_path / "broken")
    (tmp_path / "broken" / "Format-Serving").mkdir(parents=True)
    (tmp_path / "broken" / "Format-Serving" / "saved_model.pb").write_bytes(b"no model")

    assert reason(data, candidate, [], task()) == ("no published model yet", False)
    found = reason(data, candidate, [empty], task())
    assert found == (f"{tmp_path / 'empty' / 'Format-Serving'} holds no model", False)
    same = reason(data, candidate, [candidate], task())
    assert same == ("the baseline is this very model", False)
    damaged = reason(data, candidate, [broken], task())
    assert damaged.fails
    assert "expected a SavedModel that loads" in damaged.reason
    with pytest.raises(RunError, match="expected one baseline model, found 2: "):
        reason(data, candidate, [empty, broken], task())


def test_a_baseline_of_this_project_with_other_classes_cannot_be_compared(
    data: Path, tmp_path: Path, shared_published: Path
) -> None:
    from tfx_fusion.modules.registry.champion import other_labels

    colours = CategoryLabel(type="category", column="c", classes=("green", "red", "blue"))

    assert other_labels(shared_published / "1", {"colour": "colour"}, {"colour": colours}) == (
        "the label 'colour' has another type or other classes in it"
    )
    assert other_labels(tmp_path, {"colour": "colour"}, {"colour": colours}) == ""


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ({}, {"split": "eval"}, "expected a split 'eval' of the examples, found training, valid"),
        ({"output": "price"}, {}, r"expected a model with the outputs \['steep'\], found \['price"),
        (
            {"by_examples": False, "features": ("width", "depth")}, {},
            "the model takes 'depth', which record 0 of .* of the examples lacks",
        ),
        ({"features": ("width", "depth")}, {}, "the model cannot read the rows from .*depth"),
        (
            {"by_examples": False, "features": ("width", "region")}, {},
            "the model takes 'region' as float32, record 0 of .* has text",
        ),
        ({"answer": lambda score: score}, {}, "expected probabilities of output 'steep', found"),
        (
            {"answer": lambda score: score * [[1.0, 2.0]]}, {},
            r"expected 1 numbers a row of output 'steep' \(binary\), found 2 of float32",
        ),
        (
            {}, {"wanted": task({}, classes=("no", "perhaps"))},
            "record [0-9]+ of .*: the label 'steep' is 'yes', none of its classes no, perhaps",
        ),
        (
            {}, {"wanted": unknown_label()},
            "the label 'slopes': expected one value of 'slope', found 0; ",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_fails_with_one_sentence_and_no_blessing(
    evaluate: Callable[..., Any],
    model: dict[str, Any],
    changes: dict[str, Any],
    message: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(RunError, match=message) as raised:
        evaluate(foreign.save_model(tmp_path / "model", **model), **changes)
    assert "Traceback" not in str(raised.value)
    assert not list(tmp_path.rglob("BLESSED"))


def test_a_task_that_does_not_fit_together_is_refused_when_it_is_written() -> None:
    label = CategoryLabel(type="category", column="c", classes=("a", "b", "c"))

    def problem(outputs: Any, thresholds: Any = None) -> str:
        given = {"labels": {"l": label}, "outputs": outputs}
        with pytest.raises(ValidationError) as raised:
            EvaluationView.model_validate({**given, "evaluation": {"thresholds": thresholds or {}}})
        return str(raised.value)

    assert "outputs.m: there is no label 'm'; known: l" in problem({"m": {}})
    assert "outputs.l.kind: a label of type category cannot be binary" in problem(
        {"l": {"kind": "binary"}}
    )
    assert "outputs.l.metrics: auc is no metric of kind category" in problem(
        {"l": {"metrics": ("auc",)}}
    )
    assert "outputs.l.metrics does not list it; add it there" in problem(
        {"l": {"metrics": ("accuracy",)}}, {"l": {"log_loss": {"max": 1.0}}}
    )
    whole = EvaluationView.model_validate({"labels": {"l": label}, "outputs": {"l": {}}})
    assert EvaluationView.model_validate_json(whole.model_dump_json()) == whole
    assert json.loads(whole.model_dump_json())["max_rejected"] == 0.01
