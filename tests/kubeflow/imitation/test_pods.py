"""What a pod of the imitation sees of this machine, of claims and secrets, and its retries."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster import Cluster
from cluster_pod import SOURCE

MARK = "the first attempt is here"


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
