"""The words of hipconf about UPDATEs, with HIPL's output."""

from __future__ import annotations

from collections.abc import Sequence

from hipgw.compat.control_client import ControlClient
from hipgw.compat.hipconf_commands import SENT, Reply, valid_hit


def manual_update(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`manual-update [HIT]`: run the UPDATE exchange, with all peers or one."""
    if arguments:
        return Reply(SENT, client.call("manual_update", target=valid_hit(arguments[0])))
    return Reply(SENT, client.call("manual_update"))
