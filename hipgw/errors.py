"""The exception tree.

`HipgwError` is the root.  What a peer can cause derives from `PeerProtocolError` and never leaves
the engine; what our own caller causes derives from `LocalProtocolError`.
"""

from __future__ import annotations

from typing import Final


class HipgwError(Exception):
    """Root of every exception that hipgw raises on purpose."""


class LocalProtocolError(HipgwError):
    """Our own caller asked for something that the protocol does not allow."""


class PeerProtocolError(HipgwError):
    """A peer broke the protocol; becomes a counter, a NOTIFY, or both."""


class WireError(PeerProtocolError):
    """Octets that are not a well-formed HIP packet: the only error that `hipgw.wire` parsers raise.

    Attributes:
        reason: a `DropReason` name (`hipgw.values.reasons`), for the counter.
        offset_octets: where in the packet the trouble was seen.
        parameter_type: the TLV type at fault, or None.
    """

    def __init__(
        self, reason: str, detail: str, offset_octets: int = 0, parameter_type: int | None = None
    ) -> None:
        super().__init__(f"{reason} at octet {offset_octets}: {detail}")
        self.reason: Final = reason
        self.offset_octets: Final = offset_octets
        self.parameter_type: Final = parameter_type


class CryptoError(PeerProtocolError):
    """A key, public value or ciphertext that cannot be used; the message never holds key octets."""


class ConfigError(HipgwError):
    """A configuration that cannot be used; says file, line, key and what was expected."""

    def __init__(
        self, message: str, *, file: str = "", line: int | None = None, key: str = ""
    ) -> None:
        place = file + (f":{line}" if line is not None else "")
        super().__init__(": ".join(part for part in (place, key, message) if part))
        self.file: Final = file
        self.line: Final = line
        self.key: Final = key


class HostError(HipgwError):
    """The host lacks something hipgw needs (root, /dev/net/tun, a free port); names the remedy."""
