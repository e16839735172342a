"""Why a stage failed on Kubeflow, in one paragraph, from what its pod wrote and how it ended."""

from __future__ import annotations

import re

from pods import Pod

# The launcher around a stage writes lines of glog's kind, about itself.
LAUNCHER = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d|^time=\"")
RAISED = re.compile(r"^(?:\w+\.)*(?:\w*(?:Error|Exception|Interrupt|Exit))(?:: |$)")
OWN = re.compile(r"^modules\.errors\.\w+: ")  # a user's error explains itself
NO_COMMAND = re.compile(
    r'exec: "?fusion"?: (?:executable file not found|no such file)|fusion: (?:command )?not found'
    r"|exec: .*\bfusion\b.*(?:executable file not found|no such file)"
)
LONGEST = 1500


def cause(pods: list[Pod], log: str | None, image: str) -> str:
    """The cause that the log and the pods tell, with the key to change where it is known."""
    ended = next((pod.ended for pod in reversed(pods) if pod.ended), None)
    waiting = next((pod.waiting for pod in pods if pod.waiting), None)
    told = " ".join(part for part in (log, ended, waiting) if part)
    if NO_COMMAND.search(told) or (ended and "exit code 127" in ended):
        return f"kubeflow.image: {image} has no command `fusion`: build it with kubeflow/Dockerfile"
    if ended and ended.startswith("OOMKilled"):
        return f"{ended}: its memory did not suffice, give it more in kubeflow.memory"
    if waiting and any(pod.stuck for pod in pods):
        return _with_key(waiting, image)
    return _raised(log or "") or ended or "KFP does not say why; its log does"


def _with_key(waiting: str, image: str) -> str:
    """What keeps a container from starting, with the key that says it otherwise."""
    if "Image" in waiting.split(":")[0]:
        return f"kubeflow.image: {image} cannot be had: {waiting}"
    if "secret" in waiting:
        return f"kubeflow.secrets: {waiting}"
    return waiting


def _raised(log: str) -> str | None:
    """The last exception of a log, else the last line that is no launcher's."""
    lines = [line.rstrip() for line in log.splitlines()]
    own = [number for number, line in enumerate(lines) if line and not LAUNCHER.match(line)]
    if not own:
        return None
    raised = [number for number in own if RAISED.match(lines[number])]
    if not raised:
        return lines[own[-1]][:LONGEST]
    end = raised[-1] + 1
    while end < len(lines) and lines[end] and not LAUNCHER.match(lines[end]):
        end += 1
    return OWN.sub("", "\n".join(lines[raised[-1] : end]))[:LONGEST]


def stuck_message(pod: Pod, image: str) -> str:
    """What keeps a pod from starting, with the key that says it otherwise."""
    return _with_key(pod.waiting or "", image)
