"""The control socket: who may ask, how many at once, and that no client can harm the daemon.

The kernel says who the other end is (SO_PEERCRED, SO_PEERGROUPS: unix(7)).  Root and the daemon's
own user may change things; members of `[control] group` may look.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path as FilePath
from typing import Any, Final

from hipgw.daemon.control_protocol import (
    LINE_OCTETS_LIMIT,
    RefusedError,
    Request,
    emit_refusal,
    emit_result,
    parse_request,
)
from hipgw.daemon.logs import RateLimitedLog
from hipgw.errors import HostError

CLIENTS_LIMIT: Final = 64
READERS_LIMIT: Final = 48
"""Clients that may only look; the rest of `CLIENTS_LIMIT` is kept for the operator."""
IDLE_S: Final = 60.0
WRITE_S: Final = 10.0
REFUSED_S: Final = 0.2
SO_PEERGROUPS: Final = 59
GROUPS_OCTETS: Final = 1024
"""The most that Python's getsockopt takes: 256 groups."""
BACKLOG: Final = 128

log = logging.getLogger(__name__)


class Access(IntEnum):
    """What a client may do; a larger one includes the smaller."""

    NONE = 0
    READ = 1
    CHANGE = 2


@dataclass(frozen=True, slots=True)
class Method:
    """One thing that can be asked for."""

    call: Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]
    access: Access = Access.READ


def access_of(channel: socket.socket, group: int | None) -> Access:
    """What the other end of a connected unix socket may do.

    Args:
        channel: the accepted socket.
        group: members of it may look, or None for nobody.
    """
    credentials = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _, uid, gid = struct.unpack("=iII", credentials)
    if uid in (0, os.geteuid()):
        return Access.CHANGE
    if group is None:
        return Access.NONE
    if group == gid:
        return Access.READ
    try:
        packed = channel.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, GROUPS_OCTETS)
    except OSError:
        return Access.NONE
    groups = {number for (number,) in struct.iter_unpack("=I", packed)}
    return Access.READ if group in groups else Access.NONE


class ControlServer:
    """Listens on a unix socket and answers requests, several clients at a time."""

    def __init__(
        self, path: FilePath, methods: Mapping[str, Method], group: int | None = None
    ) -> None:
        self._path = path
        self._methods = methods
        self._group = group
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._readers = 0
        self._limited = RateLimitedLog(log)
        self.counters: Counter[str] = Counter()

    async def start(self) -> None:
        """Bind and listen; the path must be free.

        Raises:
            HostError: the path cannot be bound; names the remedy.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        mode = 0o600 if self._group is None else 0o660
        old_mask = os.umask(0o777 & ~mode)
        try:
            listener.bind(str(self._path))
            if self._group is not None:
                os.chown(self._path, -1, self._group)
        except OSError as error:
            listener.close()
            raise HostError(
                f"cannot listen on {self._path}: {error.strerror or error}; run as root, or give "
                "[control] socket another path"
            ) from error
        finally:
            os.umask(old_mask)
        self._server = await asyncio.start_unix_server(
            self._on_client, sock=listener, limit=LINE_OCTETS_LIMIT, backlog=BACKLOG
        )

    async def close(self) -> None:
        """Stop listening, hang up on every client, remove the path."""
        if self._server is None:
            return
        self._server.close()
        for client in tuple(self._clients):
            client.cancel()
        if self._clients:
            await asyncio.wait(self._clients, timeout=1.0)
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._server = None

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio calls this as a task
        self._clients.add(task)
        is_reader = False
        try:
            access = access_of(writer.get_extra_info("socket"), self._group)
            is_reader = access < Access.CHANGE
            self._readers += is_reader
            refusal = self._refusal_at_the_door(access)
            if refusal is None:
                await self._serve(reader, writer, access)
            else:
                self.counters[f"control_{refusal.code}"] += 1
                await _send(writer, emit_refusal(None, refusal))
                await _take_what_was_asked(reader)
        except (OSError, TimeoutError):
            self.counters["control_hung_up"] += 1
        finally:
            self._readers -= is_reader
            self._clients.discard(task)
            writer.close()

    def _refusal_at_the_door(self, access: Access) -> RefusedError | None:
        if access is Access.NONE:
            return RefusedError(
                "denied",
                "this user may not use the control socket",
                "run as root, or join the group of [control] group",
            )
        is_full = len(self._clients) > CLIENTS_LIMIT
        if is_full or (access < Access.CHANGE and self._readers > READERS_LIMIT):
            return RefusedError("busy", "too many clients", "try again in a moment")
        return None

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, access: Access
    ) -> None:
        while True:
            try:
                async with asyncio.timeout(IDLE_S):
                    line = await reader.readline()
            except ValueError:
                # A StreamReader says so when its limit is passed; the rest of the line is lost.
                self.counters["control_too_long"] += 1
                message = f"request longer than {LINE_OCTETS_LIMIT} octets"
                await _send(writer, emit_refusal(None, RefusedError("too_long", message)))
                return
            if not line:
                return
            await _send(writer, await self.answer(line, access))

    async def answer(self, line: bytes, access: Access) -> bytes:
        """The answer line to one request line; never raises."""
        try:
            request = parse_request(line)
        except RefusedError as refusal:
            self.counters["control_bad_request"] += 1
            return emit_refusal(None, refusal)
        try:
            return emit_result(request.request_id, await self._call(request, access))
        except RefusedError as refusal:
            self.counters[f"control_{refusal.code}"] += 1
            return emit_refusal(request.request_id, refusal)
        except Exception as error:  # the top of the loop: a bug in one answer stays there
            self.counters["control_internal"] += 1
            log.exception("control request failed", extra={"method": request.method})
            failure = RefusedError(
                "internal", f"the daemon failed: {type(error).__name__}", "see its log"
            )
            return emit_refusal(request.request_id, failure)

    async def _call(self, request: Request, access: Access) -> dict[str, Any]:
        method = self._methods.get(request.method)
        if method is None:
            known = ", ".join(sorted(self._methods))
            raise RefusedError("unknown_method", "no such method", f"known: {known}")
        if access < method.access:
            self._limited.warning("control request denied", method=request.method)
            raise RefusedError("denied", "only root may change the daemon", "run as root")
        self.counters["control_requests"] += 1
        return await method.call(request.params)


async def _take_what_was_asked(reader: asyncio.StreamReader) -> None:
    """Read the request of a refused client, so that his write does not fail before he reads."""
    with contextlib.suppress(TimeoutError, ValueError):
        async with asyncio.timeout(REFUSED_S):
            await reader.readline()


async def _send(writer: asyncio.StreamWriter, line: bytes) -> None:
    writer.write(line)
    async with asyncio.timeout(WRITE_S):
        await writer.drain()
