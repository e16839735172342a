"""The body of a REST request, unpacked where it was packed: gzip, as for TF Serving."""

from __future__ import annotations

import asyncio
import zlib

from aiohttp import web

from tfx_fusion.modules.serving.server.refusal import invalid

LARGEST_BODY = 256 << 20
PIECE = 64 << 10
GZIP = 16 + zlib.MAX_WBITS


async def unpacked(request: web.Request) -> bytes:
    """The bytes that a client meant.

    Raises RefusalError where they are broken, HTTPException where they are too many or packed in
    another way.
    """
    body = await request.read()
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise web.HTTPUnsupportedMediaType(
            text=f"Content-Encoding: expected gzip or none, found {encoding!a}"
        )
    return await asyncio.to_thread(_unzipped, body)


def _unzipped(body: bytes) -> bytes:
    size = _unzipped_size(body)  # first, so that what is too large never takes the memory
    return zlib.decompress(body, GZIP, bufsize=max(size, 1))


def _unzipped_size(body: bytes) -> int:
    unzip, size = zlib.decompressobj(GZIP), 0
    try:
        for start in range(0, len(body), PIECE):
            left = body[start : start + PIECE]
            while left:
                size += len(unzip.decompress(left, PIECE))
                if size > LARGEST_BODY:
                    raise web.HTTPRequestEntityTooLarge(LARGEST_BODY)
                left = unzip.unconsumed_tail
    except zlib.error as error:
        raise invalid(f"the body is not gzip, as its Content-Encoding says: {error}") from None
    if not unzip.eof or unzip.unused_data:
        raise invalid("the body is not one whole gzip file, as its Content-Encoding says")
    return size
