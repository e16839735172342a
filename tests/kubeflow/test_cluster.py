"""The imitation of Kubeflow Pipelines, held against pipelines that kfp itself compiles."""

# Without `from __future__ import annotations`: kfp reads the annotations of components as types.

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster
from cluster_driver import OUTPUT_FILE, SESSION
from cluster_pod import SOURCE
from cluster_spec import NotImitatedError, RefusedError
from kfp import compiler, dsl

MARK = "the first attempt is here"


@dsl.container_component
def produce(word: str, times: int, made: dsl.Output[dsl.Dataset], count: dsl.OutputPath(int)):
    return dsl.ContainerSpec(
        image="nowhere/at-all",
        command=["sh", "-ec", 'mkdir "$1" && echo "$0" > "$1/word" && echo "$3" > "$2"'],
        args=[word, made.path, count, times],
    )


@dsl.container_component
def consume(made: dsl.Input[dsl.Dataset], count: int, given: dsl.Output[dsl.Artifact]):
    return dsl.ContainerSpec(
        image="nowhere/at-all",
        command=["sh", "-ec", 'cat "$0/word"; echo "$2" > "$1"'],
        args=[made.path, given.path, "{{$}}"],
    )


@dsl.pipeline(name="two-steps")
def two_steps(word: str, times: int = 3):
    made = produce(word=word, times=times)
    consume(made=made.outputs["made"], count=made.outputs["count"])


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "cluster")


def compiled(pipeline: Any, path: Path) -> Path:
    compiler.Compiler().compile(pipeline, str(path))
    return path


@pytest.fixture
def single(tmp_path: Path) -> Callable[..., Path]:
    """Writes a pipeline of one task, `step`, that runs a shell command and has an output `out`."""

    def write(
        command: str = "true",
        change: Callable[[dict[str, Any]], None] | None = None,
        **kubernetes: Any,
    ) -> Path:
        document = {
            "schemaVersion": "2.1.0",
            "pipelineInfo": {"name": "single"},
            "components": {
                "comp": {
                    "executorLabel": "exec",
                    "outputDefinitions": {
                        "artifacts": {"out": {"artifactType": {"schemaTitle": "tfx.Model"}}}
                    },
                }
            },
            "deploymentSpec": {
                "executors": {
                    "exec": {
                        "container": {
                            "image": "nowhere",
                            "command": ["sh", "-ec", command],
                            "args": ["{{$.outputs.artifacts['out'].path}}", "{{$}}"],
                        }
                    }
                }
            },
            "root": {
                "dag": {
                    "tasks": {
                        "step": {"taskInfo": {"name": "step"}, "componentRef": {"name": "comp"}}
                    }
                }
            },
        }
        if change:
            change(document)
        documents = [document]
        if kubernetes:
            settings = {"deploymentSpec": {"executors": {"exec": kubernetes}}}
            documents.append({"platforms": {"kubernetes": settings}})
        path = tmp_path / "single.yaml"
        path.write_text(yaml.safe_dump_all(documents))
        return path

    return write


class TestARun:
    def test_hands_artifacts_and_parameters_on(self, cluster, tmp_path):
        run = cluster.run(compiled(two_steps, tmp_path / "p.yaml"), {"word": "hello"})

        assert run.succeeded, str(run)
        assert list(run.steps) == ["produce", "consume"]
        assert run.steps["consume"].log == "hello\n"
        assert run.steps["produce"].parameters == {"count": 3}
        assert (run.artifact("produce", "made") / "word").read_text() == "hello\n"
        assert run.artifact("consume", "executor-logs").read_text() == "hello\n"
        assert str(run).splitlines()[1].startswith("consume: succeeded, 0.")

    def test_gives_a_step_what_the_driver_gives(self, cluster, tmp_path):
        run = cluster.run(compiled(two_steps, tmp_path / "p.yaml"), {"word": "a", "times": 5})

        given = json.loads(run.artifact("consume", "given").read_text())
        folder = f"minio://mlpipeline/v2/artifacts/two-steps/{run.state.id}"
        made = run.steps["produce"].uris["made"]
        assert made.startswith(f"{folder}/produce/")
        assert made.endswith("/made")
        assert given["inputs"] == {
            "parameterValues": {"count": 5},
            "artifacts": {
                "made": {
                    "artifacts": [
                        {
                            "name": "2",  # the first are the logs of the other step
                            "uri": made,
                            "type": {"instanceSchema": ""},
                            "metadata": {"display_name": "made", "store_session_info": SESSION},
                        }
                    ]
                }
            },
        }
        assert given["outputs"]["outputFile"] == OUTPUT_FILE
        assert set(given["outputs"]["artifacts"]) == {"given", "executor-logs"}
        (logs,) = given["outputs"]["artifacts"]["executor-logs"]["artifacts"]
        assert logs["type"] == {"schemaTitle": "system.Artifact"}
        assert given == run.steps["consume"].executor_input

    def test_stops_at_a_step_that_fails(self, cluster, tmp_path):
        path = compiled(two_steps, tmp_path / "p.yaml")
        path.write_text(path.read_text().replace("mkdir ", "echo broken; exit 7; mkdir "))

        run = cluster.run(path, {"word": "a"})

        assert not run.succeeded
        assert run.steps["produce"].error == "exit status 7"
        assert run.steps["produce"].log == "broken\n"
        assert run.steps["consume"].status == "omitted"

    def test_can_repeat_a_step_with_the_same_input(self, cluster, tmp_path):
        run = cluster.run(compiled(two_steps, tmp_path / "p.yaml"), {"word": "again"})

        step = run.repeat("consume")

        assert step.status == "succeeded"
        assert step.log == "again\n"
        assert step.executor_input == run.steps["consume"].executor_input


class TestPlaceholders:
    @pytest.mark.parametrize(
        ("constant", "seen"),
        [
            ("{{$.pipeline_task_name}}", "step"),
            ("plain", "plain"),
            # Only what is nothing but a placeholder is filled in.
            ("id {{$.pipeline_task_name}}", "id {{$.pipeline_task_name}}"),
            (7, "7"),
            (1e-7, "0.0000001"),
            ([1, "ä", True], '[1,"ä",true]'),
        ],
    )
    def test_of_the_driver(self, cluster, single, constant, seen):
        def change(document):
            definition = {"parameters": {"p": {"parameterType": "STRING"}}}
            document["components"]["comp"]["inputDefinitions"] = definition
            value = {"runtimeValue": {"constant": constant}}
            document["root"]["dag"]["tasks"]["step"]["inputs"] = {"parameters": {"p": value}}

        run = cluster.run(single("true", change))

        assert run.steps["step"].executor_input["inputs"]["parameterValues"] == {"p": seen}

    def test_of_kubernetes_stand_for_variables_that_are_there(self, cluster, single):
        def change(document):
            container = document["deploymentSpec"]["executors"]["exec"]["container"]
            container["env"] = [{"name": "COLOUR", "value": "red"}]

        run = cluster.run(single("echo $(COLOUR) $(echo two) $$COLOUR", change))

        assert run.steps["step"].log == "red two red\n"

    def test_a_type_that_does_not_fit_fails_in_the_driver(self, cluster, single):
        def change(document):
            definition = {"parameters": {"p": {"parameterType": "NUMBER_INTEGER"}}}
            document["components"]["comp"]["inputDefinitions"] = definition
            value = {"runtimeValue": {"constant": "7"}}
            document["root"]["dag"]["tasks"]["step"]["inputs"] = {"parameters": {"p": value}}

        step = cluster.run(single("true", change)).steps["step"]

        assert step.status == "failed"
        assert not step.attempts
        assert "'p' type mismatch: expect NUMBER_INTEGER, got string" in step.error


class TestOutputs:
    def output(self, metadata: dict[str, Any], **more: Any) -> str:
        written = {"artifacts": {"out": {"artifacts": [{"metadata": metadata, **more}]}}}
        folder = OUTPUT_FILE.rpartition("/")[0]
        return f"mkdir $0 {folder}; echo hi > $0/f; echo '{json.dumps(written)}' > {OUTPUT_FILE}"

    def test_metadata_comes_back_as_ml_metadata_keeps_it(self, cluster, single):
        metadata = {"n": 2, "blessed": True, "splits": ["a", "b"], "d": {"x": 1}, "s": "t"}

        step = cluster.run(single(self.output(metadata))).steps["step"]

        assert step.status == "succeeded", step.error
        assert step.metadata["out"] == {
            "n": 2, "blessed": 1, "splits": {"list": ["a", "b"]}, "d": {"struct": {"x": 1}},
            "s": "t", "display_name": "out", "store_session_info": SESSION,
        }  # fmt: skip

    def test_null_metadata_fails(self, cluster, single):
        step = cluster.run(single(self.output({"n": None}))).steps["step"]

        assert step.status == "failed"
        assert "metadata 'n': unknown/unsupported value type null" in step.error

    def test_an_unknown_field_of_the_output_file_fails(self, cluster, single):
        step = cluster.run(single(self.output({}, more="x"))).steps["step"]

        assert "failed to unmarshall ExecutorOutput" in step.error
        assert '"more"' in step.error

    def test_a_local_path_as_uri_is_not_uploaded(self, cluster, single):
        run = cluster.run(single(self.output({}, uri="/minio/x")))

        assert run.steps["step"].uris["out"] == "/minio/x"
        assert "does not have a recognized storage URI '/minio/x'" in run.steps["step"].warnings[0]

    def test_a_uri_beyond_the_run_fails(self, cluster, single):
        step = cluster.run(single(self.output({}, uri="s3://elsewhere/x"))).steps["step"]

        assert "does not have expected bucket prefix" in step.error

    def test_an_output_that_is_missing_is_told(self, cluster, single):
        run = cluster.run(single())

        assert run.succeeded
        assert "does not exist (output 'out')" in run.steps["step"].warnings[0]
        assert not run.artifact("step", "out").exists()

    def test_empty_folders_and_mode_bits_are_not_uploaded(self, cluster, single):
        command = "mkdir -p $0/empty $0/full; echo 1 > $0/full/f; chmod 700 $0/full/f"

        run = cluster.run(single(command))

        assert [path.name for path in run.artifact("step", "out").iterdir()] == ["full"]
        assert not run.artifact("step", "out").joinpath("full/f").stat().st_mode & 0o100


class TestAPod:
    def test_sees_neither_the_tests_folder_nor_other_steps(self, cluster, single, tmp_path):
        (tmp_path / "secret.txt").write_text("secret")
        command = f"test ! -e {tmp_path} && ls -A /tmp /gcs /s3 /minio && ls -d /*"

        step = cluster.run(single(command)).steps["step"]

        assert step.status == "succeeded", step.log
        # Nothing is in /tmp but what plays the image, where the project itself lies there.
        image = [path.parts for path in (SOURCE, Path(sys.prefix)) if path.parts[1] == "tmp"]
        shown = "".join(f"{name}\n" for name in sorted({parts[2] for parts in image}))
        assert step.log.startswith(f"/gcs:\n\n/minio:\nmlpipeline\n\n/s3:\n\n/tmp:\n{shown}/")
        assert "/home" not in step.log

    def test_cannot_write_to_the_image_or_the_source(self, cluster, single):
        for path in ("/etc/x", "/usr/x", SOURCE / "x", SOURCE / "modules/x"):
            step = cluster.run(single(f"touch {path}")).steps["step"]
            assert "Read-only file system" in step.log

    def test_runs_as_root_without_capabilities_among_its_own_processes(self, cluster, single):
        command = "id -u; grep CapEff /proc/self/status; ls -d /proc/[0-9]* | wc -l; umount /tmp"

        step = cluster.run(single(command)).steps["step"]

        lines = step.log.splitlines()
        assert lines[:2] == ["0", "CapEff:\t0000000000000000"]
        assert int(lines[2]) < 8
        assert "permission denied" in lines[3] or "must be superuser" in lines[3]

    def test_has_this_python_and_this_source(self, cluster, single):
        command = (
            "python -c 'import sys, tfx_fusion.modules.files as f; print(sys.prefix, f.__file__)'"
        )

        step = cluster.run(single(command)).steps["step"]

        assert step.log.split()[1] == str(SOURCE / "tfx_fusion/modules/files.py")

    def test_has_none_of_the_tests_variables(self, cluster, single, monkeypatch):
        monkeypatch.setenv("OF_THE_TEST", "1")

        step = cluster.run(single("env")).steps["step"]

        assert "OF_THE_TEST" not in step.log

    def test_keeps_nothing_on_disk_when_it_is_gone(self, cluster, single):
        cluster.run(single("echo x > /tmp/x; exit 1"))

        assert list((cluster.folder / "pods").iterdir()) == []


class TestKubernetes:
    MOUNT = [{"constant": "data", "mountPath": "/mnt/data"}]
    SECRET = [{"secretName": "s3", "keyToEnv": [{"secretKey": "key", "envVar": "AWS_KEY"}]}]

    def test_a_claim_is_mounted_and_can_be_written(self, tmp_path, single):
        (tmp_path / "data").mkdir()
        (tmp_path / "data/in").write_text("from the claim\n")
        cluster = Cluster(tmp_path / "cluster", claims={"data": tmp_path / "data"})

        step = cluster.run(
            single("cat /mnt/data/in; echo out > /mnt/data/out", pvcMount=self.MOUNT)
        ).steps["step"]

        assert step.log == "from the claim\n"
        assert (tmp_path / "data/out").read_text() == "out\n"

    def test_a_secret_is_a_variable(self, tmp_path, single):
        cluster = Cluster(tmp_path / "cluster", secrets={"s3": {"key": "hidden"}})

        step = cluster.run(single("echo $AWS_KEY", secretAsEnv=self.SECRET)).steps["step"]

        assert step.log == "hidden\n"

    @pytest.mark.parametrize(
        ("settings", "error"),
        [
            ({"pvcMount": MOUNT}, 'persistentvolumeclaim "data" not found'),
            ({"secretAsEnv": SECRET}, 'secret "s3" not found'),
        ],
    )
    def test_what_is_not_there_keeps_a_pod_from_starting(self, cluster, single, settings, error):
        def change(document):
            document["root"]["dag"]["tasks"]["step"]["retryPolicy"] = {"maxRetryCount": 3}

        step = cluster.run(single("true", change, **settings)).steps["step"]

        assert (step.status, step.error, step.retries) == ("failed", error, 0)

    def test_a_secret_without_the_key_too(self, tmp_path, single):
        cluster = Cluster(tmp_path / "cluster", secrets={"s3": {}})

        step = cluster.run(single(secretAsEnv=self.SECRET)).steps["step"]

        assert step.error == "couldn't find key key in Secret s3"


class TestRetries:
    def path(self, single: Callable[..., Path], command: str, count: int) -> Path:
        def change(document):
            document["root"]["dag"]["tasks"]["step"]["retryPolicy"] = {"maxRetryCount": count}

        return single(command, change)

    def test_happen_in_a_new_pod_with_the_same_input(self, tmp_path, single):
        (tmp_path / "data").mkdir()
        cluster = Cluster(tmp_path / "cluster", claims={"data": tmp_path / "data"})

        def change(document):
            document["root"]["dag"]["tasks"]["step"]["retryPolicy"] = {"maxRetryCount": 2}

        mount = [{"constant": "data", "mountPath": "/d"}]
        command = (
            "test ! -e /tmp/x; touch /tmp/x; echo $1; mkdir /d/seen 2>/dev/null && exit 4; true"
        )
        step = cluster.run(single(command, change, pvcMount=mount)).steps["step"]

        assert step.status == "succeeded"
        assert [attempt.exit_code for attempt in step.attempts] == [4, 0]
        assert step.retries == 1
        first, second = step.log.splitlines()
        assert json.loads(first) == json.loads(second) == step.executor_input

    def test_are_killed_by_the_name_of_a_task(self, cluster, single):
        with pytest.raises(ValueError, match="no task 'stpe': did you mean 'step'"):
            cluster.run(single(), kill_first_attempt={"stpe": 1})

    def test_end(self, cluster, single):
        step = cluster.run(self.path(single, "exit 3", 2)).steps["step"]

        assert [attempt.exit_code for attempt in step.attempts] == [3, 3, 3]
        assert (step.status, step.error) == ("failed", "exit status 3")

    @pytest.mark.parametrize("when", [0.3, MARK])
    def test_follow_when_the_first_attempt_is_killed(self, cluster, single, when):
        path = self.path(single, f"echo {MARK}; sleep 0.8", 1)

        step = cluster.run(path, kill_first_attempt={"step": when}).steps["step"]

        assert [attempt.exit_code for attempt in step.attempts] == [137, 0]
        assert step.log == f"{MARK}\n{MARK}\n"


class TestRefusals:
    @pytest.mark.parametrize(
        ("keys", "value", "error"),
        [
            ("schemaVersion", "2.0.0", "schemaVersion 2.1.0 expected, found '2.0.0'"),
            ("pipelineInfo.name", "Upper", "pipeline name 'Upper'"),
            ("more", 1, 'no PipelineSpec: .*"more"'),
            ("deploymentSpec.executors.exec.boxes", {}, 'no PipelineDeploymentConfig: .*"boxes"'),
            ("deploymentSpec.executors.exec", {"resolver": {}}, "resolver executors not imp"),
            ("components.comp.executorLabel", "other", "executor with label 'other' not found"),
            ("root.dag.tasks.step.componentRef.name", "c", "component 'c' not found"),
            ("root.dag.tasks.step.dependentTasks", ["nobody"], "dependency 'nobody' not found"),
            ("root.dag.tasks.step.dependentTasks", ["step"], "tasks wait for one another"),
            ("root.dag.tasks.a_b", {}, "task name 'a_b'"),
            (
                "root.inputDefinitions.parameters.size",
                {"parameterType": "STRING"},
                "parameter 'size' is required and has no value",
            ),
            (
                "root.dag.tasks.step.inputs.parameters.p.taskOutputParameter",
                {"producerTask": "Other_task", "outputParameterKey": "x"},
                "unknown producer task 'Other_task' in DAG",
            ),
        ],
    )  # fmt: skip
    def test_of_the_server(self, cluster, single, keys, value, error):
        def change(document):
            *parents, last = keys.split(".")
            for key in parents:
                document = document.setdefault(key, {})
            document[last] = value

        with pytest.raises(RefusedError, match=error):
            cluster.run(single("true", change))

    def test_of_parameters_that_are_not_there(self, cluster, single):
        with pytest.raises(RefusedError, match=r"no parameters \['size'\]"):
            cluster.run(single(), {"size": 1})

    def test_of_a_job_instead_of_a_specification(self, cluster, tmp_path):
        path = tmp_path / "job.json"
        path.write_text(json.dumps({"pipelineSpec": {}, "runtimeConfig": {}}))

        with pytest.raises(RefusedError, match="no PipelineSpec"):
            cluster.run(path)

    def test_of_settings_for_executors_that_are_not_there(self, cluster, single):
        path = single(pvcMount=[])
        path.write_text(
            path.read_text().replace("executors:\n        exec:", "executors:\n        x:")
        )

        with pytest.raises(RefusedError, match=r"executors that are not there: \['x'\]"):
            cluster.run(path)

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"triggerPolicy": {"condition": "true"}}, "a trigger policy"),
            ({"parameterIterator": {"itemInput": "x"}}, "an iterator"),
        ],
    )
    def test_what_the_imitation_lacks_is_told(self, cluster, single, change, error):
        def add(document):
            document["root"]["dag"]["tasks"]["step"].update(change)

        with pytest.raises(NotImitatedError, match=error):
            cluster.run(single("true", add))

    def test_so_are_settings_for_kubernetes(self, cluster, single):
        with pytest.raises(NotImitatedError, match="exec: configMapAsEnv"):
            cluster.run(single(configMapAsEnv=[]))
