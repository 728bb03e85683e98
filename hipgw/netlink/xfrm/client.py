"""One request, one answer: a NETLINK_XFRM socket in the network namespace of the calling thread.

Requests are answered by the kernel before `send` returns, in tens of microseconds, unless a module
has to be loaded first.  Messages with keys are wiped when they have been sent or read.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from hipgw.netlink.xfrm import policies, states
from hipgw.netlink.xfrm.octets import (
    HEADER,
    MessageWriter,
    RawMessage,
    XfrmFormatError,
    read_attributes,
    read_messages,
)
from hipgw.netlink.xfrm.uapi import (
    NETLINK_CAP_ACK,
    NETLINK_EXT_ACK,
    NETLINK_XFRM,
    NLM_F_ACK,
    NLM_F_ACK_TLVS,
    NLM_F_CAPPED,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    NLMSG_OVERRUN,
    NLMSGERR_ATTR_MSG,
    SOL_NETLINK,
    MessageType,
    PolicyDirection,
)
from hipgw.netlink.xfrm.values import (
    Encapsulation,
    Migration,
    PolicyId,
    Selector,
    StateId,
    StateReport,
    XfrmPolicy,
    XfrmState,
)

Item = TypeVar("Item")

ERROR_NUMBER: Final = struct.Struct("=i")
RECEIVE_OCTETS: Final = 1 << 16
"""The kernel's datagrams are at most half of it."""
DUMP_ATTEMPTS: Final = 5
"""A dump that was overtaken by changes is taken again so often."""
ANSWER_S: Final = 30.0
"""How long the first request may take that makes the kernel load modules."""


class XfrmError(OSError):
    """The kernel refused a request; `errno` is its number.

    Attributes:
        extended: the kernel's own sentence (extended acknowledgement), or empty.
    """

    def __init__(self, number: int, action: str, extended: str = "") -> None:
        said = f"{os.strerror(number)}: {extended}" if extended else os.strerror(number)
        super().__init__(number, f"{action}: {said}")
        self.action: Final = action
        self.extended: Final = extended


class XfrmClient:
    """Asks the kernel to change and to show states and policies.

    Raises:
        OSError: EPROTONOSUPPORT, this kernel has no XFRM over netlink.
    """

    def __init__(self) -> None:
        self._buffer = bytearray(RECEIVE_OCTETS)
        self._sequence = 0
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_XFRM
        )
        try:
            self._socket.bind((0, 0))
            self._socket.settimeout(ANSWER_S)
            self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
            # Refusals would otherwise bring back the whole request, keys included.
            self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the socket back; harmless twice."""
        self._socket.close()

    def add_state(self, state: XfrmState) -> None:
        """Install a state that is not there yet.

        Raises:
            XfrmError: EEXIST, it is there; ENOSYS, an algorithm is missing; EPROTONOSUPPORT, ESP
                is missing; EINVAL, keys of a wrong length; EPERM.
            ValueError: see `states.new_state`.
        """
        self._apply("add a state", states.new_state(state))

    def update_state(self, state: XfrmState) -> None:
        """Change ports and lifetimes of a state, or fill a larval one.

        Raises:
            XfrmError: ESRCH, there is none.
        """
        self._apply("update a state", states.update_state(state))

    def remove_state(self, name: StateId) -> None:
        """Take a state away.

        Raises:
            XfrmError: ESRCH, there is none.
        """
        self._apply("remove a state", states.delete_state(name))

    def state(self, name: StateId, *, with_keys: bool = False) -> StateReport:
        """One state, with its numbers and counters of this moment.

        Raises:
            XfrmError: ESRCH, there is none.
        """
        found = self._ask(
            "read a state",
            states.get_state(name),
            lambda body: states.parse_state(body, with_keys=with_keys),
        )
        return found[0]

    def states(self) -> list[StateReport]:
        """Every state that this codec understands, without keys; others are someone else's."""
        return self._dump("list states", states.dump_states, _understood(states.parse_state))

    def allocate_spi(self, wanted: XfrmState, least: int, most: int) -> int:
        """Reserve a free SPI for the destination of `wanted`; a larval state holds it for 30 s.

        Raises:
            XfrmError: ENOENT, none was found; the kernel guesses as often as the range is wide.
        """
        writer = states.allocate_spi(wanted, least, most)
        return self._ask("allocate an SPI", writer, states.parse_spi)[0]

    def add_policy(self, policy: XfrmPolicy) -> None:
        """Install a policy that is not there yet.

        Raises:
            XfrmError: EEXIST, one with this selector, direction and mark is there.
        """
        self._apply("add a policy", policies.new_policy(policy))

    def replace_policy(self, policy: XfrmPolicy) -> None:
        """Install a policy in place of the one before, if any, in one step."""
        self._apply("replace a policy", policies.update_policy(policy))

    def remove_policy(self, name: PolicyId) -> None:
        """Take a policy away.

        Raises:
            XfrmError: ENOENT, there is none.
        """
        self._apply("remove a policy", policies.delete_policy(name))

    def add_with_policy(self, state: XfrmState, policy: XfrmPolicy) -> None:
        """Install a state and a policy that are not there yet, both or none, in one send.

        Half the system calls of `add_state` and `add_policy`, which say more of a refusal.

        Raises:
            XfrmError: one of them was refused, and the other one taken back.
        """
        writers = states.new_state(state), policies.new_policy(policy)
        refusals = self._send_together("add a state with its policy", writers)
        if not any(refusals):
            return
        if refusals[1] is None:
            name = PolicyId(policy.selector, policy.direction, 0, policy.mark, policy.if_id)
            self.remove_policy(name)
        if refusals[0] is None:
            self.remove_state(StateId(state.destination, state.spi, state.protocol, state.mark))
        raise next(refusal for refusal in refusals if refusal is not None)

    def policies(self) -> list[XfrmPolicy]:
        """Every policy that this codec understands, those of sockets included."""
        return self._dump(
            "list policies", policies.dump_policies, _understood(policies.parse_policy)
        )

    def migrate(
        self,
        selector: Selector,
        direction: PolicyDirection,
        moves: Sequence[Migration],
        encapsulation: Encapsulation | None = None,
    ) -> None:
        """Give the states behind a policy new outer addresses; once for each direction.

        `encapsulation` gives them new UDP ports as well; states that have none then get it.

        Raises:
            XfrmError: ENOENT, no such policy; ESRCH, no state fits; ENOPROTOOPT, not built in.
        """
        self._apply("migrate states", policies.migrate(selector, direction, moves, encapsulation))

    def _apply(self, action: str, writer: MessageWriter) -> None:
        self._exchange(action, writer, NLM_F_ACK, lambda _: None)

    def _ask(
        self, action: str, writer: MessageWriter, parse: Callable[[memoryview], Item]
    ) -> list[Item]:
        found, _ = self._exchange(action, writer, NLM_F_ACK, parse)
        if not found:
            raise XfrmFormatError(f"{action}: the kernel acknowledged and answered nothing")
        return found

    def _dump(
        self,
        action: str,
        request: Callable[[], MessageWriter],
        parse: Callable[[memoryview], Item | None],
    ) -> list[Item]:
        """A dump, taken again while changes overtake it; the last attempt counts as it is."""
        found: list[Item | None] = []
        for _ in range(DUMP_ATTEMPTS):
            found, is_whole = self._exchange(action, request(), NLM_F_DUMP, parse)
            if is_whole:
                break
        return [item for item in found if item is not None]

    def _exchange(
        self,
        action: str,
        writer: MessageWriter,
        flags: int,
        parse: Callable[[memoryview], Item],
    ) -> tuple[list[Item], bool]:
        """What was parsed from the answer, and whether nothing changed meanwhile."""
        self._sequence = self._sequence % 0xFFFFFFFF + 1
        request = writer.finish(self._sequence, flags)
        try:
            self._socket.send(request)
        except OSError as error:
            raise XfrmError(error.errno or 0, action) from error
        finally:
            request.release()
            writer.wipe()
        answer: Answer[Item] = Answer()
        while not answer.is_complete:
            length = self._receive(action)
            datagram = memoryview(self._buffer)[:length]
            try:
                for message in read_messages(datagram):
                    if message.sequence == self._sequence:
                        answer.take(action, message, parse)
            finally:
                datagram[:] = bytes(length)
        return answer.items, answer.is_whole

    def _send_together(
        self, action: str, writers: Sequence[MessageWriter]
    ) -> list[XfrmError | None]:
        """Have requests done one after the other, whatever becomes of the others.

        The last one alone is acknowledged when all is well; a refusal always comes.
        """
        first = self._sequence + 1 if self._sequence <= 0xFFFFFFFF - len(writers) else 1
        self._sequence = first + len(writers) - 1
        requests = [
            writer.finish(first + number, NLM_F_ACK if writer is writers[-1] else 0)
            for number, writer in enumerate(writers)
        ]
        try:
            self._socket.sendmsg(requests)
        except OSError as error:
            raise XfrmError(error.errno or 0, action) from error
        finally:
            for request, writer in zip(requests, writers, strict=True):
                request.release()
                writer.wipe()
        refusals: list[XfrmError | None] = [None] * len(writers)
        is_complete = False
        while not is_complete:
            length = self._receive(action)
            datagram = memoryview(self._buffer)[:length]
            for message in read_messages(datagram):
                if first <= message.sequence <= self._sequence and message.kind == NLMSG_ERROR:
                    try:
                        _raise_refusal(action, message)
                    except XfrmError as error:
                        refusals[message.sequence - first] = error
                    is_complete |= message.sequence == self._sequence
            datagram[:] = bytes(length)
        return refusals

    def _receive(self, action: str) -> int:
        """How many octets of the next datagram stand in the buffer."""
        try:
            length, _, flags, _ = self._socket.recvmsg_into([self._buffer])
        except TimeoutError as error:
            raise XfrmError(errno.ETIMEDOUT, action) from error
        except OSError as error:
            raise XfrmError(error.errno or 0, action) from error
        if flags & socket.MSG_TRUNC:
            raise XfrmFormatError(f"{action}: an answer of more than {RECEIVE_OCTETS} octets")
        return length


@dataclass(slots=True)
class Answer(Generic[Item]):
    """What has come back so far to one request."""

    items: list[Item] = field(default_factory=list)
    is_whole: bool = True
    """Nothing changed while a dump was taken."""
    is_complete: bool = False

    def take(self, action: str, message: RawMessage, parse: Callable[[memoryview], Item]) -> None:
        """One more message.

        Raises:
            XfrmError: it is a refusal.
            XfrmFormatError: whatever is wrong with it.
        """
        if message.flags & NLM_F_DUMP_INTR and message.kind != NLMSG_ERROR:
            self.is_whole = False
        if message.kind in {NLMSG_ERROR, NLMSG_DONE}:
            _raise_refusal(action, message)
            self.is_complete = True
        elif message.kind == NLMSG_OVERRUN:
            raise XfrmFormatError(f"{action}: the kernel lost part of its answer")
        elif message.kind >= MessageType.NEWSA:
            self.items.append(parse(message.body))


def _understood(
    parse: Callable[[memoryview], Item],
) -> Callable[[memoryview], Item | None]:
    """A parser that answers None where another program installed what this codec does not know."""

    def attempt(body: memoryview) -> Item | None:
        try:
            return parse(body)
        except XfrmFormatError:
            return None

    return attempt


def _raise_refusal(action: str, message: RawMessage) -> None:
    """Raise what an NLMSG_ERROR or NLMSG_DONE says, unless it says that all is well."""
    if len(message.body) < ERROR_NUMBER.size:
        if message.kind == NLMSG_DONE:
            return
        raise XfrmFormatError(f"{action}: an acknowledgement of {len(message.body)} octets")
    (number,) = ERROR_NUMBER.unpack_from(message.body)
    if number < 0:
        raise XfrmError(-number, action, _extended(message))


def _extended(message: RawMessage) -> str:
    """The kernel's own words, which follow the header of the request."""
    if not message.flags & NLM_F_ACK_TLVS:
        return ""
    offset = ERROR_NUMBER.size
    if message.kind == NLMSG_ERROR:
        if len(message.body) < offset + HEADER.size:
            return ""
        request_octets = HEADER.unpack_from(message.body, offset)[0]
        offset += HEADER.size if message.flags & NLM_F_CAPPED else (request_octets + 3) & ~3
    try:
        words = read_attributes(message.body[offset:]).get(NLMSGERR_ATTR_MSG)
    except XfrmFormatError:
        return ""
    return "" if words is None else bytes(words).rstrip(b"\0").decode("ascii", "replace")
