"""Where the files of a lab host are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HostFiles:
    """Where the files of one host are."""

    directory: Path

    @property
    def config(self) -> Path:
        """Configuration of its daemon."""
        return self.directory / "hipgw.toml"

    @property
    def keys(self) -> Path:
        """Directory of its private keys."""
        return self.directory / "keys"

    @property
    def state(self) -> Path:
        """What its daemon keeps over a restart."""
        return self.directory / "state"

    @property
    def socket(self) -> Path:
        """Control socket of its daemon."""
        return self.directory / "hipgw.sock"

    @property
    def esp_keys(self) -> Path:
        """Keys of its security associations, as lines of tshark's `esp_sa` table."""
        return self.directory / "esp_sa"

    @property
    def log(self) -> Path:
        """What its daemon wrote."""
        return self.directory / "daemon.log"
