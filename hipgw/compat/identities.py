"""The words of hipconf about identities and opportunistic mode, with HIPL's output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hipgw.compat.control_client import ControlClient
from hipgw.compat.hipconf_commands import SENT, Reply, WordError, valid_hit

VISIBILITY: Final = {"pub": False, "anon": True}
BITS: Final = {
    "rsa": {"": "rsa-3072", "2048": "rsa-2048", "3072": "rsa-3072", "4096": "rsa-4096"},
    "ecdsa": {"": "ecdsa-p256", "256": "ecdsa-p256", "384": "ecdsa-p384"},
    "ed25519": {"": "ed25519"},
    "ed448": {"": "ed448"},
}
"""HIPL's word for an algorithm -> size in bits -> hipgw's word for the kind of key."""
SIDES: Final = {
    "none": (False, False),
    "off": (False, False),
    "normal": (True, True),
    "advanced": (True, True),
    "accept": (True, False),
    "initiate": (False, True),
}
"""Word -> whether this host answers I1s to the NULL HIT, and whether it sends them."""


def add_hi(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`add hi default`: every key file; `add hi anon|pub ALGORITHM FILE`: one of them."""
    if list(arguments) == ["default"]:
        return Reply(SENT, client.call("identity_add"))
    is_anonymous, _, name = _key_words(arguments, most=3)
    answer = client.call("identity_add", name=name, anonymous=is_anonymous)
    return Reply(SENT, answer)


def new_hi(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`new hi anon|pub ALGORITHM FILE [BITS]`: make a key file and use it."""
    if arguments[0] == "default":
        raise WordError(
            "not offered in hipgw: new hi default would replace the keys that peers know; use"
            " new hi pub <algorithm> <name>"
        )
    is_anonymous, kind, name = _key_words(arguments, most=4)
    answer = client.call("identity_new", name=name, kind=kind, anonymous=is_anonymous, keep=True)
    return Reply(SENT, answer)


def del_hi(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`del hi HIT|all`: "all" leaves the default identity, without which no host can be."""
    if arguments[0] == "all":
        return Reply("All HIs deleted.\n", client.call("identity_remove", target="all"))
    return Reply(SENT, client.call("identity_remove", target=valid_hit(arguments[0])))


def _key_words(words: Sequence[str], *, most: int) -> tuple[bool, str, str]:
    """(anonymous, kind of key, name) of `anon|pub ALGORITHM FILE [BITS]`."""
    if not 3 <= len(words) <= most or words[0] not in VISIBILITY:
        raise WordError("expected anon|pub rsa|ecdsa|ed25519|ed448 <name of a key file>")
    sizes = BITS.get(words[1])
    if sizes is None:
        raise WordError(f"not offered in hipgw: {words[1]} keys; use {', '.join(BITS)}")
    kind = sizes.get(words[3] if len(words) > 3 else "")
    if kind is None:
        wanted = ", ".join(size for size in sizes if size) or "none"
        raise WordError(f"a key of {words[3]} bits is not offered: sizes of {words[1]}: {wanted}")
    return VISIBILITY[words[0]], kind, words[2].removesuffix(".pem")


def opportunistic(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`set opp normal|advanced|none`, and in hipgw's words `opportunistic off|accept|initiate`."""
    word = arguments[0]
    if word not in SIDES:
        raise WordError(f'Invalid argument "{word}". Use {", ".join(SIDES)}.')
    answer, initiate = SIDES[word]
    return Reply(SENT, client.call("opportunistic_set", answer=answer, initiate=initiate))
