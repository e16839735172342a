"""Training that starts from the champion: what fits is taken, all else starts anew by its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from specs import rewritten

from tfx_fusion.modules.embedding.plan import LearnsFrom
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.graph.build import FusedModel, build
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.layer import SubmodelLayer
from tfx_fusion.modules.training.checkpoint import Checkpoint
from tfx_fusion.modules.training.data import Epochs
from tfx_fusion.modules.training.frozen_proof import digests
from tfx_fusion.modules.training.record import TrainingRecord, WarmStart
from tfx_fusion.modules.training.stage_data import StageData
from tfx_fusion.modules.training.train import seed_everything, train
from tfx_fusion.modules.training.trained_values import (
    Trained,
    trained_variables,
    values_of,
    write_trained,
)
from tfx_fusion.modules.training.warm_start import Champion

STAGE = "{name: head, epochs: 3, learning_rate: 1e-2}"
FINE = "{name: fine, epochs: 1, learning_rate: 1e-3, unfreeze: {vision: {last: 1}, text: all}}"
DIGESTS = {"vision": "v" * 64, "text": "t" * 64}
HEAD = ["graph/hidden/0/kernel", "graph/hidden/0/bias",
        "graph/scores/0/kernel", "graph/scores/0/bias"]  # fmt: skip
VISION = ["submodels/vision/features/kernel", "submodels/vision/features/bias"]
TEXT = ["submodels/text/features/kernel", "submodels/text/features/bias"]


@pytest.fixture
def specify(world: Path) -> Callable[..., Specification]:
    """The small specification with pieces of its text replaced."""
    file = world / "fusion.yaml"
    original = file.read_text()

    def change(*changes: tuple[str, str]) -> Specification:
        file.write_text(original)
        return rewritten(file, *changes)

    return change


def fuse(specification: Specification) -> tuple[FusedModel, dict[str, Any]]:
    keras.backend.clear_session()
    seed_everything(specification.training.seed)
    paths = {name: path for name, (_, path) in specification.imported().items()}
    interfaces = {name: inspect_submodel(path).interface for name, path in paths.items()}

    def opened(name: str, _: Any, taps: list[str]) -> SubmodelLayer:
        return SubmodelLayer(paths[name], taps, None, name)

    return build(specification, interfaces, opened), interfaces


def rows() -> tuple[Epochs, tf.data.Dataset]:
    random = np.random.default_rng(11)
    features = {
        "image": random.random((32, 8, 8, 3)).astype("float32"),
        "words": random.integers(0, 2, (32, 6)).astype("float32"),
    }
    labels = {"colour": random.integers(0, 3, 32)}
    data = tf.data.Dataset.from_tensor_slices((features, labels)).batch(8)
    return Epochs(lambda _: data.repeat(), 4), data


def trained(
    specification: Specification,
    champion: Champion | None = None,
    checkpoint: Checkpoint | None = None,
) -> tuple[FusedModel, TrainingRecord]:
    fused, interfaces = fuse(specification)
    data = StageData(fused.model, *rows(), LearnsFrom(source="rows", description="made rows"))
    return fused, train(specification, interfaces, fused, lambda _: data, checkpoint, champion)


def unfrozen(specification: Specification, **layers: list[str]) -> FusedModel:
    """A fused model whose sub-models may train the named layers."""
    fused, _ = fuse(specification)
    for name, wanted in layers.items():
        fused.submodels[name].unfreeze(wanted)
    return fused


def frozen_of(fused: FusedModel) -> dict[str, dict[str, str]]:
    return digests({name: layer.frozen_variables() for name, layer in fused.submodels.items()})


def start(
    fused: FusedModel, values: dict[str, np.ndarray], champion_digests: dict[str, str] = DIGESTS
) -> WarmStart:
    champion = Champion(Path("/serving/7"), Trained(values, champion_digests), DIGESTS)
    return champion.start(fused, frozen_of(fused))


def marked(fused: FusedModel) -> dict[str, np.ndarray]:
    """A value for every variable that may be trained, another one for each."""
    variables = trained_variables(fused, frozen_of(fused))
    return {
        name: np.full(variable.shape, position + 0.5, "float32")
        for position, (name, variable) in enumerate(variables.items())
    }


def values(fused: FusedModel) -> dict[str, np.ndarray]:
    return values_of(trained_variables(fused, frozen_of(fused)))


# ------------------------------------------------------------------------------ what fits


def test_what_fits_starts_with_exactly_the_champions_values(specify: Callable[..., Any]) -> None:
    layers = {"vision": ["features"], "text": ["features/kernel", "features/bias"]}
    fused = unfrozen(specify(), **layers)
    wanted = marked(fused)

    outcome = start(fused, wanted)

    assert outcome.taken == [*HEAD, *VISION, *TEXT]
    assert outcome.anew == {}
    assert outcome.champion == "/serving/7"
    assert str(outcome) == "8 of 8 variables from champion 7"
    for name, value in values(fused).items():
        np.testing.assert_array_equal(value, wanted[name])


def test_frozen_tensors_are_not_touched_even_where_the_champion_had_trained_them(
    specify: Callable[..., Any],
) -> None:
    specification = specify()
    champions = marked(unfrozen(specification, vision=["conv", "norm", "features"]))
    fused = unfrozen(specification, vision=["features"])
    before = frozen_of(fused)

    outcome = start(fused, champions)

    assert outcome.taken == [*HEAD, *VISION]
    assert frozen_of(fused) == before
    assert any("conv/kernel" in name for name in before["vision"])


def test_what_the_champion_has_not_trained_starts_anew(specify: Callable[..., Any]) -> None:
    specification = specify()
    champions = marked(fuse(specification)[0])
    fused = unfrozen(specification, vision=["features"])
    imported = values(fused)

    outcome = start(fused, champions)

    assert outcome.taken == HEAD
    assert outcome.anew == dict.fromkeys(VISION, "the champion has not trained it")
    for name in VISION:
        np.testing.assert_array_equal(values(fused)[name], imported[name])


def test_another_shape_starts_anew_and_its_neighbours_do_not(specify: Callable[..., Any]) -> None:
    champions = marked(fuse(specify())[0])
    fused, _ = fuse(specify(("units: 8", "units: 9")))
    before = values(fused)

    outcome = start(fused, champions)

    assert outcome.taken == ["graph/scores/0/bias"]
    assert outcome.anew == {
        "graph/hidden/0/kernel": "the champion's is (10, 8), here it is (10, 9)",
        "graph/hidden/0/bias": "the champion's is (8), here it is (9)",
        "graph/scores/0/kernel": "the champion's is (8, 3), here it is (9, 3)",
    }
    for name in outcome.anew:
        np.testing.assert_array_equal(values(fused)[name], before[name])


@pytest.mark.parametrize(
    ("digest", "shown"), [("o" * 64, "o" * 12), (None, "none")], ids=["another", "unknown"]
)
def test_a_sub_model_from_another_file_starts_from_the_imported_weights(
    digest: str | None, shown: str, specify: Callable[..., Any]
) -> None:
    fused = unfrozen(specify(), vision=["features"], text=["features/kernel", "features/bias"])
    imported = values(fused)
    others = {"text": DIGESTS["text"], **({"vision": digest} if digest else {})}

    outcome = start(fused, marked(fused), others)

    assert outcome.taken == [*HEAD, *TEXT]
    reason = f"the champion was made from another file of vision (digest {shown}, now {'v' * 12})"
    assert outcome.anew == dict.fromkeys(VISION, reason)
    for name in VISION:
        np.testing.assert_array_equal(values(fused)[name], imported[name])


def test_without_a_champion_training_starts_from_scratch_and_says_so(tmp_path: Path) -> None:
    outcome = Champion.read(None, DIGESTS).start(FusedModel({}, {}, model=None), {})

    assert str(outcome) == "from scratch: no model has been published yet"
    assert (outcome.taken, outcome.anew) == ([], {})


def test_a_champion_of_an_older_layout_is_the_reason_for_scratch(tmp_path: Path) -> None:
    outcome = Champion.read(tmp_path, DIGESTS).start(FusedModel({}, {}, model=None), {})

    assert str(outcome) == (
        "from scratch: an older layout without assets.extra/trained.npz was published last"
    )


# ------------------------------------------------------------------------------ in training


def published(specification: Specification, folder: Path) -> Champion:
    """A trained model's values as a version holds them, read again."""
    fused, history = trained(specification)
    (folder / "1").mkdir()
    named = trained_variables(fused, history.frozen)
    write_trained(Trained(values_of(named), DIGESTS), folder / "1")
    return Champion.read(folder / "1", DIGESTS)


def test_training_starts_from_the_champion_and_leaves_frozen_tensors_unchanged(
    specify: Callable[..., Any], tmp_path: Path
) -> None:
    specification = specify((STAGE, FINE))
    champion = published(specification, tmp_path)

    _, scratch = trained(specification)
    _, warm = trained(specification, champion)

    assert scratch.warm_start is None
    assert warm.warm_start is not None
    assert warm.warm_start.anew == {}
    assert {*HEAD, *VISION, *TEXT} <= set(warm.warm_start.taken)
    assert warm.frozen == scratch.frozen
    assert warm.stages[0].epochs[0]["loss"] < scratch.stages[0].epochs[0]["loss"]
    assert TrainingRecord.model_validate_json(warm.model_dump_json()) == warm


def test_a_warm_start_that_touched_a_frozen_tensor_would_fail(
    specify: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specification = specify()
    champion = published(specification, tmp_path)
    honest = Champion.start

    def careless(self: Champion, fused: FusedModel, frozen: Any) -> WarmStart:
        kernel = fused.submodels["vision"].named_weights()["conv/kernel"]
        kernel.assign(np.nextafter(np.array(kernel), np.float32(1)))
        return honest(self, fused, frozen)

    monkeypatch.setattr(Champion, "start", careless)
    with pytest.raises(RunError, match=r"^frozen tensors changed in training: vision: 0/conv/ker"):
        trained(specification, champion)


def test_a_checkpoint_comes_before_the_champion(
    specify: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specification = specify()
    champion = published(specification, tmp_path)
    whole, unbroken = trained(specification, champion)

    class Killed(BaseException):
        pass

    save = Checkpoint.save

    def save_and_die(self: Checkpoint, state: Any) -> None:
        save(self, state)
        raise Killed

    monkeypatch.setattr(Checkpoint, "save", save_and_die)
    with pytest.raises(Killed):
        trained(specification, champion, Checkpoint(tmp_path / "checkpoint"))
    monkeypatch.setattr(Checkpoint, "save", save)
    resumed, history = trained(specification, champion, Checkpoint(tmp_path / "checkpoint"))

    assert history.stages[0].epochs == unbroken.stages[0].epochs
    assert history.warm_start == unbroken.warm_start
    for one, other in zip(whole.model.weights, resumed.model.weights, strict=True):
        np.testing.assert_array_equal(one, other)
