"""An HTTP client that trusts nothing of the shell and reads no endless body."""

from collections.abc import AsyncIterator

import httpx2

MAX_BODY = 8 << 20


class BodyTooLargeError(httpx2.TransportError):
    """A provider sent more than any judgement needs."""


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream):
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in self._stream:
            read += len(chunk)
            if read > MAX_BODY:
                raise BodyTooLargeError(f"The body is longer than {MAX_BODY} bytes.")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Transport(httpx2.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Bounded(response.stream)
        return response


def client(timeout_seconds: float) -> httpx2.AsyncClient:
    """A client without proxies, certificates or credentials of the environment, no redirects."""
    return httpx2.AsyncClient(
        transport=_Transport(retries=0),
        trust_env=False,
        follow_redirects=False,
        timeout=timeout_seconds,
    )
