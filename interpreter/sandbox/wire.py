"""Messages between Kiln, the launcher and the processes of a sandbox, over stream sockets.

A message is its length in four bytes, big-endian, and as many bytes of JSON. To the launcher: one plan. From a
sandbox, in this order:

    {"ready": {…}, "degraded": [...]}        the builder's program is about to start; what is in force
    {"failed": {"step": …, "call": …, "subject": …, "errno": …}}   instead of it, or after it: a step went wrong
    {"exited": status}                       the builder ended; a wait status
    {"exceeded": [limit, found]}             instead of it: process 1 ended the build, as it used too much
    {"ended": {"cpu": s, "wall": s, "maxrss": bytes}}   no process of the sandbox is left; the last message

Closing Kiln's end kills the sandbox. Stand-alone.
"""

from __future__ import annotations

import _socket
import json
from typing import Any

MAXIMUM = 64 << 20
"""Bytes of the longest message: a plan with a very large closure."""


def send(channel: _socket.socket, message: dict[str, Any]) -> None:
    """Send one message. Raises OSError when the other side is gone."""
    send_bytes(channel, json.dumps(message, separators=(",", ":")).encode())


def send_bytes(channel: _socket.socket, data: bytes) -> None:
    channel.sendall(len(data).to_bytes(4, "big") + data)


def receive_bytes(channel: _socket.socket) -> bytes | None:
    """One message's bytes, or None when the other side closed the channel."""
    header = _exactly(channel, 4)
    if header is None:
        return None
    length = int.from_bytes(header, "big")
    if length > MAXIMUM:
        raise OSError(f"a message of {length} bytes")
    return _exactly(channel, length)


def receive(channel: _socket.socket) -> dict[str, Any] | None:
    """One message, or None when the other side closed the channel."""
    data = receive_bytes(channel)
    return None if data is None else json.loads(data)


def _exactly(channel: _socket.socket, length: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < length:
        part = channel.recv(length - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)
