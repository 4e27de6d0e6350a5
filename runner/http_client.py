"""An HTTP client that trusts nothing of the shell and reads no endless body.

No proxy, certificate file, credential or header comes from the environment, nothing is followed
to another place, and a body is neither unpacked nor read beyond a bound.
"""

from collections.abc import AsyncIterator, Mapping

import httpx2

MAX_BODY = 8 << 20
JSON = {"accept": "application/json", "content-type": "application/json"}
_ALWAYS = {"accept-encoding": "identity", "user-agent": "operator-cockpit"}


class BodyRefusedError(httpx2.TransportError):
    """An answer that is too long, or packed although that was not asked for."""


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream):
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in self._stream:
            read += len(chunk)
            if read > MAX_BODY:
                raise BodyRefusedError(f"The body is longer than {MAX_BODY} bytes.")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Transport(httpx2.AsyncHTTPTransport):
    def __init__(self, headers: Mapping[str, str]):
        super().__init__(trust_env=False, retries=0)
        self._headers = headers

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        # SDKs take headers from the shell, Host and Authorization included: none of theirs leave.
        length = {"content-length": str(len(await request.aread()))}
        own = {"host": request.url.netloc.decode("ascii"), **_ALWAYS, **self._headers}
        request.headers = httpx2.Headers(own if request.method == "GET" else {**own, **length})
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise BodyRefusedError("The body is packed.")
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Bounded(response.stream)
        return response


def client(timeout_seconds: float, headers: Mapping[str, str]) -> httpx2.AsyncClient:
    """A client for one purpose; it is made on a thread, for it loads certificates.

    Args:
        timeout_seconds: to connect, and between two pieces of an answer; not of the whole.
        headers: sent with every request, such as the credential, and no others are.
    """
    return httpx2.AsyncClient(
        transport=_Transport(headers),
        trust_env=False,
        follow_redirects=False,
        timeout=timeout_seconds,
    )
