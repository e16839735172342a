"""New versions while requests come in, versions that cannot be loaded, and how a server ends."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2, predict_pb2

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.registry.rollback import roll_back
from tfx_fusion.modules.serving.server import served_model
from tfx_fusion.modules.serving.server.servable import Servable, write_warmup

SECONDS = 30


def wait_until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def publish(source: Path, folder: Path, version: int) -> Path:
    """As Pusher does: saved_model.pb comes last."""
    target = folder / str(version)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("saved_model.pb"))
    shutil.copy(source / "saved_model.pb", target)
    return target


def halve() -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "tiny", "halve"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([[1.0, 2.0]]))
    return request


def states(server: Any) -> dict[int, str]:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "tiny"
    found = server.model.GetModelStatus(request, timeout=SECONDS).model_version_status
    return {one.version: type(one).State.Name(one.state) for one in found}


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    publish(tiny / "3", tmp_path, 3)
    return tmp_path


def test_a_new_version_takes_over_under_load_without_a_failed_request(
    tiny: Path, folder: Path, serve: Any
) -> None:
    server = serve(folder)
    ended, answered, failed = threading.Event(), [], []

    def ask() -> None:
        while not ended.is_set():
            try:
                response = server.prediction.Predict(halve(), timeout=SECONDS)
            except grpc.RpcError as error:
                failed.append(error)
            else:
                answered.append(response.model_spec.version.value)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: 3 in answered)
        publish(tiny / "3", folder, 10)
        wait_until(lambda: bool(answered) and answered[-1] == 10)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert not failed
    assert set(answered) == {3, 10}
    assert states(server) == {10: "AVAILABLE", 3: "END"}


def test_a_version_that_was_taken_back_gives_way_to_the_one_before(
    tiny: Path, folder: Path, serve: Any
) -> None:
    publish(tiny / "3", folder, 4)
    server = serve(folder)
    assert server.prediction.Predict(halve(), timeout=SECONDS).model_spec.version.value == 4
    shutil.rmtree(folder / "4")
    wait_until(lambda: states(server).get(3) == "AVAILABLE")
    assert server.prediction.Predict(halve(), timeout=SECONDS).model_spec.version.value == 3
    shutil.rmtree(folder / "3")
    time.sleep(1.5)  # more than the server waits between looks
    assert server.prediction.Predict(halve(), timeout=SECONDS).model_spec.version.value == 3


def test_a_rollback_under_load_fails_no_request(tiny: Path, folder: Path, serve: Any) -> None:
    publish(tiny / "3", folder, 4)
    server = serve(folder)
    answered: list[int] = []

    def ask() -> int:
        response = server.prediction.Predict(halve(), timeout=SECONDS)
        answered.append(response.model_spec.version.value)
        return answered[-1]

    with ThreadPoolExecutor(8) as clients:
        for wanted in (3, 4):  # back, and forward again
            assert roll_back(folder, str(wanted)).served.number == wanted
            end = time.monotonic() + SECONDS
            while {one.result() for one in [clients.submit(ask) for _ in range(8)]} != {wanted}:
                assert time.monotonic() < end
    assert set(answered) == {3, 4}


@pytest.mark.parametrize("protocol", ["gRPC", "REST"])
def test_a_port_in_use_is_refused_and_nothing_is_left_listening(
    folder: Path, serve: Any, protocol: str
) -> None:
    with socket.socket() as taken, socket.socket() as other:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        other.bind(("127.0.0.1", 0))
        ports = [taken.getsockname()[1], other.getsockname()[1]]
        other.close()
        names = ["grpc_port", "rest_port"] if protocol == "gRPC" else ["rest_port", "grpc_port"]
        with pytest.raises(RunError) as caught:
            serve(folder, **dict(zip(names, ports, strict=True)))
    assert f"{protocol}: cannot listen on 127.0.0.1:{ports[0]}: " in str(caught.value)
    assert f"choose another one (--{protocol.lower()}-port, --host)" in str(caught.value)
    with socket.socket() as free:
        assert free.connect_ex(("127.0.0.1", ports[1])) != 0


def test_a_damaged_version_is_reported_and_the_old_one_stays(
    tiny: Path, folder: Path, serve: Any
) -> None:
    server = serve(folder)
    (folder / "5").mkdir()
    (folder / "5" / "saved_model.pb").write_bytes(b"\xff\xff no model")
    wait_until(lambda: states(server).get(5) == "END")
    assert states(server) == {5: "END", 3: "AVAILABLE"}
    answer = requests.get(f"{server.url}/versions/5", timeout=SECONDS).json()
    assert "is damaged" in answer["model_version_status"][0]["status"]["error_message"]
    assert server.prediction.Predict(halve(), timeout=SECONDS).model_spec.version.value == 3
    shutil.rmtree(folder / "5")
    publish(tiny / "3", folder, 5)
    wait_until(lambda: states(server) == {5: "AVAILABLE", 3: "END"})


def test_a_version_that_is_rolled_back_while_a_server_starts_gives_way_to_the_one_before(
    tiny: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tiny / "3", folder, 4)

    def load(path: Path) -> Servable:
        if path.name == "4":
            roll_back(folder, None)
        return Servable(path)

    monkeypatch.setattr(served_model, "Servable", load)
    model = served_model.ServedModel("tiny", folder, lambda *_: None)
    asyncio.run(model.start())

    assert model.servable("tiny", None).version == 3


def test_a_version_answers_its_warm_up_requests_before_it_is_available(
    tiny: Path, folder: Path, serve: Any
) -> None:
    version = publish(tiny / "3", folder, 6)
    write_warmup(version, [halve()])
    server = serve(folder)
    assert states(server) == {6: "AVAILABLE"}
    wrong = halve()
    wrong.model_spec.signature_name = "gone"
    broken = publish(tiny / "3", folder.parent / f"{folder.name}-aside", 7)
    write_warmup(broken, [wrong])
    broken.rename(folder / "7")
    wait_until(lambda: states(server).get(7) == "END")
    answer = requests.get(f"{server.url}/versions/7", timeout=SECONDS).text
    assert "there is no signature 'gone'" in answer


def test_what_is_under_way_is_answered_before_the_server_ends(folder: Path, serve: Any) -> None:
    server = serve(folder)
    slow = predict_pb2.PredictRequest()
    slow.model_spec.name, slow.model_spec.signature_name = "tiny", "slow"
    slow.inputs["turns"].CopyFrom(tf.make_tensor_proto(np.int64(5000)))
    body = json.dumps({"signature_name": "slow", "inputs": 5000})
    with ThreadPoolExecutor() as threads:
        over_rest = threads.submit(requests.post, f"{server.url}:predict", body, timeout=SECONDS)
        over_grpc = server.prediction.Predict.future(slow, timeout=SECONDS)
        page = f"{server.rest}/monitoring/prometheus/metrics"
        begun = "fusion_batch_rows_count 2.0"
        wait_until(lambda: begun in requests.get(page, timeout=SECONDS).text)
        assert not over_grpc.done()
        server.stop()
        assert tf.make_ndarray(over_grpc.result().outputs["turns"]) == 5000
        assert over_rest.result().json() == {"outputs": 5000}
    with pytest.raises(requests.ConnectionError):
        requests.get(page, timeout=SECONDS)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("3", "is one version: give the publish folder"),
        ("empty", "expected version folders, found none: publish first"),
        ("damaged", "the model cannot be loaded"),
    ],
)
def test_a_folder_that_cannot_be_served_is_refused(
    folder: Path, serve: Any, part: str, message: str
) -> None:
    (folder / "empty").mkdir()
    (folder / "damaged" / "1").mkdir(parents=True)
    (folder / "damaged" / "1" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(RunError, match=message):
        serve(folder / part)


def test_versions_that_tf_serving_would_not_read_are_skipped(
    serve: Callable[..., Any], tiny: Path, tmp_path: Path
) -> None:
    publish(tiny / "3", tmp_path, 3)
    server = serve(tmp_path)
    for name in (str(1 << 63), "9" * 200, "\uff14"):
        shutil.copytree(tiny / "3", tmp_path / name)
    publish(tiny / "3", tmp_path, 5)

    wait_until(lambda: states(server).get(5) == "AVAILABLE")
    assert states(server) == {3: "END", 5: "AVAILABLE"}


def test_a_version_that_is_copied_in_place_is_taken_up_once_it_is_whole(
    serve: Callable[..., Any], tiny: Path, tmp_path: Path
) -> None:
    publish(tiny / "3", tmp_path, 3)
    server = serve(tmp_path)
    (tmp_path / "4").mkdir()
    shutil.copy2(tiny / "3" / "saved_model.pb", tmp_path / "4")
    wait_until(lambda: states(server).get(4) == "END")

    shutil.copytree(tiny / "3", tmp_path / "4", dirs_exist_ok=True)

    wait_until(lambda: states(server).get(4) == "AVAILABLE")


def test_a_labelled_version_is_served_beside_the_newest_and_stays(
    serve: Callable[..., Any], tiny: Path, tmp_path: Path
) -> None:
    publish(tiny / "3", tmp_path, 3)
    publish(tiny / "3", tmp_path, 4)
    server = serve(tmp_path, labels=(("stable", 3), ("canary", 4)))
    publish(tiny / "3", tmp_path, 5)
    wait_until(lambda: states(server).get(5) == "AVAILABLE")

    for label, version in (("stable", 3), ("canary", 4)):
        request = halve()
        request.model_spec.version_label = label
        assert (
            server.prediction.Predict(request, timeout=SECONDS).model_spec.version.value == version
        )
        body = {"signature_name": "halve", "instances": [[1.0, 2.0]]}
        answer = requests.post(f"{server.url}/labels/{label}:predict", json=body, timeout=SECONDS)
        assert answer.json() == {"predictions": [[0.5, 1.0]]}
    assert states(server) == {3: "AVAILABLE", 4: "AVAILABLE", 5: "AVAILABLE"}


def test_a_label_of_a_version_that_is_not_there_is_refused(
    serve: Callable[..., Any], tiny: Path
) -> None:
    with pytest.raises(RunError, match=r"--label best=7: .* has no version 7"):
        serve(tiny, labels=(("best", 7),))
