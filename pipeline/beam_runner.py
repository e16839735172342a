"""Beam's runner on this machine; its workers are processes that end with this one."""

import shlex
import sys
from typing import Any

from apache_beam.portability.python_urns import SUBPROCESS_SDK
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from tfx_fusion.modules.processes import ending_with_this

WORKER = "apache_beam.runners.worker.sdk_worker_main"


class LocalRunner(FnApiRunner):
    """Beam's own, which takes the same arguments.

    Beam's workers notice only after a while that their runner was killed, and do not start where
    the path of the interpreter has a space in it.
    """

    def run_via_runner_api(self, pipeline_proto: Any, options: Any) -> Any:
        # Beam gives the command to a shell, which must become it: it looks at its parent.
        command = shlex.join(ending_with_this([sys.executable, "-P", "-m", WORKER]))
        for environment in pipeline_proto.components.environments.values():
            if environment.urn == SUBPROCESS_SDK:
                environment.payload = f"exec {command}".encode()
        return super().run_via_runner_api(pipeline_proto, options)
