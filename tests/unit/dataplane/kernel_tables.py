"""A kernel that keeps states and policies in dictionaries, and refuses what Linux refuses."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import replace

from hipgw.netlink.xfrm import (
    Encapsulation,
    Failures,
    Migration,
    PolicyDirection,
    PolicyId,
    Selector,
    StateId,
    StateReport,
    Usage,
    XfrmClient,
    XfrmError,
    XfrmPolicy,
    XfrmState,
)

Key = tuple[Selector | None, PolicyDirection]


class KernelTables(XfrmClient):
    """In the place of a netlink socket.

    Attributes:
        used: packets and octets by SPI, as the kernel counts them.
        refuses: error number of every further NEWSA; 0 for none.
        log: names of the calls that changed something, in order.
    """

    def __init__(self) -> None:
        self.held: dict[StateId, XfrmState] = {}
        self.rules: dict[Key, XfrmPolicy] = {}
        self.used: dict[int, tuple[int, int]] = {}
        self.refuses = 0
        self.log: list[str] = []

    def close(self) -> None:
        self.log.append("close")

    def add_state(self, state: XfrmState) -> None:
        if self.refuses:
            raise XfrmError(self.refuses, "add a state", "Requested type not found")
        name = StateId(state.destination, state.spi)
        if name in self.held:
            raise XfrmError(errno.EEXIST, "add a state")
        copies = {
            part: replace(algorithm, key=bytearray(algorithm.key))
            for part in ("aead", "cipher", "authentication")
            if (algorithm := getattr(state, part)) is not None
        }
        self.held[name] = replace(state, **copies)
        self.log.append(f"add {state.spi:#x}")

    def update_state(self, state: XfrmState) -> None:
        name = StateId(state.destination, state.spi)
        if name not in self.held:
            raise XfrmError(errno.ESRCH, "update a state")
        present = self.held[name]
        self.held[name] = replace(
            present, encapsulation=state.encapsulation, lifetime=state.lifetime
        )
        self.log.append(f"update {state.spi:#x}")

    def remove_state(self, name: StateId) -> None:
        if self.held.pop(name, None) is None:
            raise XfrmError(errno.ESRCH, "remove a state")
        self.log.append(f"remove {name.spi:#x}")

    def state(self, name: StateId, *, with_keys: bool = False) -> StateReport:
        if name not in self.held:
            raise XfrmError(errno.ESRCH, "read a state")
        packets, octets = self.used.get(name.spi, (0, 0))
        found = self.held[name]
        if with_keys and found.aead is not None:
            found = replace(found, aead=replace(found.aead, key=bytearray(found.aead.key)))
        return StateReport(found, Usage(octets, packets), Failures(), None)

    def states(self) -> list[StateReport]:
        return [self.state(name) for name in self.held]

    def add_policy(self, policy: XfrmPolicy) -> None:
        if (policy.selector, policy.direction) in self.rules:
            raise XfrmError(errno.EEXIST, "add a policy")
        self.replace_policy(policy)

    def add_with_policy(self, state: XfrmState, policy: XfrmPolicy) -> None:
        before = len(self.log)
        self.add_state(state)
        try:
            self.add_policy(policy)
        except XfrmError:
            self.remove_state(StateId(state.destination, state.spi))
            del self.log[before:]
            raise

    def replace_policy(self, policy: XfrmPolicy) -> None:
        self.rules[policy.selector, policy.direction] = policy
        self.log.append(f"policy {policy.direction.name.lower()} {policy.templates[0].spi:#x}")

    def remove_policy(self, name: PolicyId) -> None:
        key = name.selector, name.direction
        if name.index:
            key = next(
                (one for one, rule in self.rules.items() if rule.index == name.index),
                (None, key[1]),
            )
        if self.rules.pop(key, None) is None:
            raise XfrmError(errno.ENOENT, "remove a policy")
        self.log.append(f"no policy {name.direction.name.lower()}")

    def policies(self) -> list[XfrmPolicy]:
        return list(self.rules.values())

    def migrate(
        self,
        selector: Selector,
        direction: PolicyDirection,
        moves: Sequence[Migration],
        encapsulation: Encapsulation | None = None,
    ) -> None:
        rule = self.rules[selector, direction]
        (move,), (template,) = moves, rule.templates
        state = self.held.pop(StateId(move.old_destination, template.spi))
        moved = replace(
            state,
            source=move.new_source,
            destination=move.new_destination,
            encapsulation=encapsulation or state.encapsulation,
        )
        self.held[StateId(moved.destination, moved.spi)] = moved
        templates = (replace(template, source=move.new_source, destination=move.new_destination),)
        self.rules[selector, direction] = replace(rule, templates=templates)
        self.log.append(f"migrate {template.spi:#x}")

    def policy(self, direction: PolicyDirection) -> XfrmPolicy | None:
        found = [rule for (_, way), rule in self.rules.items() if way is direction]
        return found[0] if found else None
