"""KerasHub, which not everyone has: the extra `hub` brings it."""

from __future__ import annotations

import importlib
from typing import Any

from tfx_fusion.modules.errors import UserError

HUB = "keras_hub"


def import_hub() -> Any:
    """KerasHub, whose import makes its classes known to Keras. Raises UserError without it."""
    try:
        return importlib.import_module(HUB)
    except ImportError as error:
        raise UserError(
            f"KerasHub is needed for this model and cannot be imported ({error}): install the "
            "extra 'hub': pip install 'tfx-fusion[hub]'"
        ) from error
