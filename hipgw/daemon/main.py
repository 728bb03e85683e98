"""The daemon's entry point: configuration, logging, privileges, signals, exit code."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from pathlib import Path as FilePath
from typing import Final

from hipgw.daemon.config import Config
from hipgw.daemon.config_file import load_config
from hipgw.daemon.logs import start_logging
from hipgw.daemon.privileges import forbid_dumps, require_network_privileges

DEFAULT_CONFIG: Final = FilePath("/etc/hipgw/hipgw.toml")
EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
"""Wrong configuration; the caller maps ConfigError to it and HostError to `EXIT_FAILED`."""

log = logging.getLogger(__name__)


def run(config_path: str | os.PathLike[str] = DEFAULT_CONFIG) -> int:
    """Run the daemon in the foreground until SIGTERM or SIGINT.

    Args:
        config_path: TOML file.  The default one may be missing: then every default holds.

    Returns:
        `EXIT_DONE` after a stop that was asked for, `EXIT_FAILED` when something broke.

    Raises:
        ConfigError: a configuration or key file that cannot be used (exit code 2).
        HostError: the host lacks something, or another instance runs (exit code 1).
    """
    file: FilePath | None = FilePath(config_path)
    if file == DEFAULT_CONFIG and not DEFAULT_CONFIG.exists():
        file, config = None, Config()
    else:
        config = load_config(FilePath(config_path))
    start_logging(config.log.level)
    require_network_privileges()
    forbid_dumps()
    # Modules are never garbage: looking for some while they are imported costs 50 ms.
    gc.disable()
    try:
        return asyncio.run(_serve(config, file))
    finally:
        gc.enable()


async def _serve(config: Config, file: FilePath | None) -> int:
    # After the privileges: everything that can be refused early is refused before heavy imports.
    from hipgw.daemon.composition import Daemon  # noqa: PLC0415

    daemon = Daemon(config, file)
    loop = asyncio.get_running_loop()
    signals_seen = 0

    def on_stop_signal(name: str) -> None:
        nonlocal signals_seen
        signals_seen += 1
        if signals_seen > 1:
            # The operator insists: hip0 goes with its descriptor, the lock with the process.
            config.control.socket.unlink(missing_ok=True)
            os._exit(EXIT_FAILED)
        log.info("stopping", extra={"reason": name})
        daemon.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_stop_signal, number.name)
    loop.add_signal_handler(signal.SIGHUP, daemon.reload)
    failure = await daemon.run()
    if failure:
        log.critical(failure)
        return EXIT_FAILED
    return EXIT_DONE
