"""Turning this process into a command on a lab host; imports no pyroute2, so it starts fast."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn

from hipgw.errors import HostError
from hipgw.lab.environment import command_environment, own_command
from hipgw.lab.files import HostFiles
from hipgw.lab.state import lab_directory, load_state, namespace_of
from hipgw.netlink.namespaces import enter_namespace


def become(lab: str, host: str, argv: Sequence[str]) -> NoReturn:
    """Replace this process by a command inside the namespace of a lab host.

    Raises:
        HostError: no such lab, host or command, or not root.
    """
    command = own_command(argv)
    state = load_state(lab)
    names = [known.name for known in state.hosts]
    if host not in names:
        raise HostError(f"lab {lab} has no host {host!r}; its hosts are: {', '.join(names)}")
    enter_namespace(namespace_of(lab, host))
    environment = command_environment(HostFiles(lab_directory(lab) / host))
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - what the user asked for
    except FileNotFoundError as error:
        raise HostError(
            f"there is no command {argv[0]!r}; install the Debian package that has it"
        ) from error
    except PermissionError as error:
        raise HostError(f"{argv[0]!r} is not a program that may be run") from error
