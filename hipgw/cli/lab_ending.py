"""How commands that make labs end: errors in one line, signals as Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

import click

from hipgw.cli.asking import CommandFailed
from hipgw.errors import HipgwError, LocalProtocolError


@contextlib.contextmanager
def said_to_user() -> Iterator[None]:
    """Errors of the lab as one line and an exit code; SIGTERM and SIGHUP as Ctrl-C.

    So everything is taken down on the way out, however the command is ended (but by SIGKILL).
    """

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except LocalProtocolError as error:
        raise click.UsageError(str(error)) from error
    except HipgwError as error:
        raise CommandFailed(str(error)) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
