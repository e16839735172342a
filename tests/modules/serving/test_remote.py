"""Predictions over gRPC and REST are those of the model loaded in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfx_fusion.modules.data import data_file
from tfx_fusion.modules.data.data_file import BadRow
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.serving.predictor import RowsError
from tfx_fusion.modules.serving.published import PublishedModel
from tfx_fusion.modules.serving.remote import remote_model
from tfx_fusion.modules.spec import NumberFeature, Specification, load_specification

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def local(shared_published: Path) -> PublishedModel:
    return PublishedModel(shared_published / "1")


@pytest.fixture(scope="module")
def specification(shared_world: Path) -> Specification:
    return load_specification(shared_world / "fusion.yaml")


@pytest.fixture
def rows(shared_world: Path) -> list[Any]:
    data = shared_world / "data" / "rows.csv"
    return [row for shard in data_file.shards(data) for row in data_file.read(shard)]


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_server_predicts_what_the_loaded_model_predicts(
    local: PublishedModel,
    specification: Specification,
    served_colours: Any,
    rows: list[Any],
    shared_world: Path,
    protocol: str,
) -> None:
    rows[7] = ("row 8", BadRow("no row at all"))
    remote = remote_model(specification, getattr(served_colours, protocol))
    found = list(remote.predict(rows, shared_world / "data"))
    wanted = list(local.predict(rows, shared_world / "data"))
    assert len(found) == 90
    for one, other in zip(found, wanted, strict=True):
        assert (one.row_id, one.error) == (other.row_id, other.error)
        assert one.outputs.keys() == other.outputs.keys()
        for name, chances in other.outputs.items():
            assert one.outputs[name] == pytest.approx(chances, abs=1e-5)
    assert found[7].error is not None
    assert found[7].error.endswith("no row at all")


@pytest.mark.parametrize("kind", ["local", "grpc", "rest"])
def test_a_row_that_the_model_cannot_answer_harms_no_other(
    local: PublishedModel,
    specification: Specification,
    served_colours: Any,
    rows: list[Any],
    shared_world: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """As where a client does not see what the model does: the picture passes, and then fails."""
    model = local if kind == "local" else remote_model(specification, getattr(served_colours, kind))
    parse = "tfx_fusion.modules.data.rows.RowParser._image"
    monkeypatch.setattr(
        parse, lambda self, row, part: Path(self._folder, row["image_path"]).read_bytes()
    )
    broken = {**rows[4][1], "image_path": "rows.csv"}
    given = [*rows[:4], ("row 5", broken), *rows[5:9]]
    answers = list(model.predict(given, shared_world / "data"))
    assert [answer.row_id for answer in answers if answer.error] == ["row 5"]
    assert all(set(answer.outputs) == {"colour"} for answer in answers if not answer.error)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "localhost:8500",
            "expected the address of a server, grpc://HOST:PORT or http://HOST:PORT",
        ),
        ("ftp://localhost", "expected the address of a server"),
        ("grpc://127.0.0.1:1", "found UNAVAILABLE"),
        ("http://127.0.0.1:1", "found ConnectionError"),
    ],
)
def test_an_address_where_no_server_answers_is_refused(
    specification: Specification, address: str, message: str
) -> None:
    with pytest.raises(RunError) as caught:
        remote_model(specification, address)
    assert str(caught.value).startswith(address)
    assert message in str(caught.value)


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_server_of_another_model_is_refused(
    specification: Specification, served_colours: Any, protocol: str
) -> None:
    other = specification.model_copy(update={"name": "shapes"})
    with pytest.raises(RunError, match=r"Latest\(shapes\); 'colours' has 1"):
        remote_model(other, getattr(served_colours, protocol))


@pytest.mark.parametrize("kind", ["local", "grpc", "rest"])
def test_bad_rows_are_distinguished_from_other_failures(
    local: PublishedModel, specification: Specification, served_colours: Any, kind: str
) -> None:
    model: Any = local
    if kind != "local":
        model = remote_model(specification, getattr(served_colours, kind))
    broken = {"image": np.array([b"x"], object), "words": np.array([b"red"], object)}
    with pytest.raises(RowsError, match="Unknown image file format"):
        model.ask(broken)


def test_a_number_that_a_row_lacks_goes_over_rest(
    specification: Specification, served_colours: Any
) -> None:
    """The server refuses it here, for it is no text; what counts is that it was understood."""
    model = remote_model(specification, served_colours.rest)
    words = NumberFeature(type="number", column="a")
    model._features = {**model._features, "words": words}
    inputs = {"image": np.array([b""], object), "words": np.array([[np.nan]])}
    with pytest.raises(RowsError, match="input 'words': expected string, found NaN"):
        model.ask(inputs)
