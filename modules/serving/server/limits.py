"""What a request may cost before it is refused, so that no single one stalls the server."""

import ipaddress
from collections.abc import Collection
from typing import NamedTuple

from tfx_fusion.modules.serving.server.errors import invalid

LOOPBACK_NAMES = ("localhost", "ip6-localhost")


class Limits(NamedTuple):
    """The limits of a server.

    `body` is in bytes, of a request of either protocol, unpacked too. `values` bounds what a JSON
    body makes in memory: each value, list and object in it counts. `seconds` is what a client may
    take to send a request, and `connections` how many of them may be open over REST.
    """

    body: int = 256 << 20
    values: int = 5_000_000
    seconds: float = 30.0
    connections: int = 512


def check_values(body: bytes, limits: Limits) -> None:
    """Raises RequestError where a JSON body would make too many objects, without parsing it.

    What stands between commas and brackets is a value; signs inside of texts count as well. An
    object takes several times the memory of a list.
    """
    found = body.count(b",") + body.count(b"[") + 4 * body.count(b"{")
    if found > limits.values:
        raise invalid(
            f"expected at most {limits.values} values in a JSON body, found about {found}: send "
            "fewer rows at once, bytes as base64, or ask over gRPC"
        )


def is_allowed_host(header: str, allowed: Collection[str]) -> bool:
    """Whether a request's `Host` is one that this server is reached by.

    A page of the web can let its own name stand for an address inside of a network ("DNS
    rebinding"), not an address itself: a literal address passes.

    Args:
        header: `name`, `name:port`, `address:port` or `[address]:port`.
        allowed: names in lower case, beside those of this machine; `*` allows all.
    """
    name = header.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    if "*" in allowed or name in (*LOOPBACK_NAMES, *allowed):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
