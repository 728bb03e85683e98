"""States at other outer addresses and ports: keys, SPIs and sequence numbers stay."""

from __future__ import annotations

from dataclasses import replace

from hipgw.dataplane.kernel_pairs import (
    KernelPair,
    KernelSa,
    encapsulation_of,
    ends_of,
    selector_of,
)
from hipgw.netlink.xfrm import Migration, PolicyDirection, XfrmClient, XfrmState
from hipgw.values import Direction, Path


def are_ports_new(sa: KernelSa, path: Path) -> bool:
    """Whether UDP ports change."""
    return encapsulation_of(sa.direction, sa.path) != encapsulation_of(sa.direction, path)


def migrate_out(client: XfrmClient, pair: KernelPair, sa: KernelSa, path: Path) -> None:
    """MIGRATE an outbound state and its policy, which must be there.

    Raises:
        XfrmError: the kernel refused.
    """
    old, new = ends_of(Direction.OUT, sa.path), ends_of(Direction.OUT, path)
    move = Migration(*old, *new, reqid=pair.reqid)
    ports = encapsulation_of(Direction.OUT, path) if are_ports_new(sa, path) else None
    selector = selector_of(Direction.OUT, pair.local, pair.peer)
    client.migrate(selector, PolicyDirection.OUT, [move], ports)


def change_ports(client: XfrmClient, sa: KernelSa, path: Path) -> None:
    """UPDSA: other UDP ports between the same addresses.

    Raises:
        XfrmError: the kernel refused.
    """
    state = client.state(sa.name, with_keys=True).state
    try:
        client.update_state(replace(state, encapsulation=encapsulation_of(sa.direction, path)))
    finally:
        state.wipe()


def twin_of(state: XfrmState, path: Path) -> XfrmState:
    """An inbound state with its window, for another address of ours; it shares the keys."""
    source, destination = ends_of(Direction.IN, path)
    return replace(
        state,
        source=source,
        destination=destination,
        encapsulation=encapsulation_of(Direction.IN, path),
    )
