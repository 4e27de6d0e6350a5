"""Who is at the other end of a unix socket. It only asks the kernel."""

import socket
import struct
from typing import Protocol

_SOL_LOCAL = 0
_LOCAL_PEERCRED = 1
_UCRED = struct.Struct("3i")
_XUCRED = struct.Struct("IIh16I")


class Peered(Protocol):
    """A connected unix socket, or asyncio's view of one."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        """See :meth:`socket.socket.getsockopt`."""
        ...


def peer_uid(peer: Peered) -> int:
    """The user id of the process that connected.

    Raises:
        OSError: the kernel does not say.
    """
    option = getattr(socket, "SO_PEERCRED", None)
    if option is not None:
        found = peer.getsockopt(socket.SOL_SOCKET, option, _UCRED.size)
        return int(_UCRED.unpack(found)[1])
    # What getpeereid(3) asks for on macOS and the BSDs.
    found = peer.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED.size)
    return int(_XUCRED.unpack(found)[1])
