"""The words of hipconf about UPDATEs, with HIPL's output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hipgw.compat.control_client import ControlClient
from hipgw.compat.hipconf_commands import SENT, Reply, WordError, valid_hit

REKEY: Final = "rekey"


def manual_update(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`manual-update [HIT] [rekey]`: run the UPDATE exchange, with all peers or one."""
    hits = [word for word in arguments if word != REKEY]
    if len(hits) > 1:
        raise WordError("manual-update: say [hit] [rekey]")
    params: dict[str, object] = {"target": valid_hit(hits[0])} if hits else {}
    if len(hits) < len(arguments):
        params["rekey"] = True
    return Reply(SENT, client.call("manual_update", **params))
