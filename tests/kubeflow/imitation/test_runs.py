"""The imitation of Kubeflow Pipelines runs what kfp itself compiles, and refuses what KFP does."""

# Without `from __future__ import annotations`: kfp reads the annotations of components as types.

import json
from pathlib import Path
from typing import Any

import pytest
from cluster_driver import OUTPUT_FILE, SESSION
from cluster_spec import NotImitatedError, RefusedError
from kfp import compiler, dsl


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


def compiled(pipeline: Any, path: Path) -> Path:
    compiler.Compiler().compile(pipeline, str(path))
    return path


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

    def test_a_missing_output_is_a_warning(self, cluster, single):
        run = cluster.run(single())

        assert run.succeeded
        assert "does not exist (output 'out')" in run.steps["step"].warnings[0]
        assert not run.artifact("step", "out").exists()

    def test_empty_folders_and_mode_bits_are_not_uploaded(self, cluster, single):
        command = "mkdir -p $0/empty $0/full; echo 1 > $0/full/f; chmod 700 $0/full/f"

        run = cluster.run(single(command))

        assert [path.name for path in run.artifact("step", "out").iterdir()] == ["full"]
        assert not run.artifact("step", "out").joinpath("full/f").stat().st_mode & 0o100


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
    def test_what_the_imitation_lacks_is_an_error(self, cluster, single, change, error):
        def add(document):
            document["root"]["dag"]["tasks"]["step"].update(change)

        with pytest.raises(NotImitatedError, match=error):
            cluster.run(single("true", add))

    def test_so_are_unknown_settings_for_kubernetes(self, cluster, single):
        with pytest.raises(NotImitatedError, match="exec: configMapAsEnv"):
            cluster.run(single(configMapAsEnv=[]))
