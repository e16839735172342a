"""`python -m tfx_fusion.modules.serving.server FOLDER NAME GRPC_PORT REST_PORT`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tfx_fusion.modules.serving.server.server import serve

folder, name, grpc_port, rest_port = sys.argv[1:]
asyncio.run(serve(name, Path(folder), "127.0.0.1", int(grpc_port), int(rest_port), lambda *_: None))
