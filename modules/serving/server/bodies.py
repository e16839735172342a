"""The body of a REST request, unpacked where it was packed: gzip, as for TF Serving."""

from __future__ import annotations

import asyncio
import zlib

from aiohttp import web

from modules.serving.server.refusal import invalid

LARGEST_BODY = 256 << 20
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
    unzip = zlib.decompressobj(GZIP)
    try:
        found = unzip.decompress(body, LARGEST_BODY + 1)
    except zlib.error as error:
        raise invalid(f"the body is not gzip, as its Content-Encoding says: {error}") from None
    if len(found) > LARGEST_BODY:
        raise web.HTTPRequestEntityTooLarge(LARGEST_BODY)
    if not unzip.eof or unzip.unused_data:
        raise invalid("the body is not one whole gzip file, as its Content-Encoding says")
    return found
