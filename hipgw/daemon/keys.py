"""Host identities on disk: PEM files (PKCS#8) that nobody but their owner can read.

`<name>.pem` is the private key, mode 0600; `<name>.pub` its public half for everybody.  The default
identity is made on the first start.  OpenSSL reads both: `openssl pkey -in NAME.pem -noout -text`.
"""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Final

from hipgw.crypto import KEY_KINDS, PrivateHostIdentity
from hipgw.daemon.state_files import TEMPORARY_SUFFIX, clear_leftovers, make_directory
from hipgw.errors import ConfigError, CryptoError
from hipgw.proto import IdentityTraits, hits_of
from hipgw.values import Hit

DEFAULT_KIND: Final = "ecdsa-p256"
"""The kind with the fastest base exchange (RFC 7401 section 5.2.9 names it ECDSA, curve 1)."""
KEY_OCTETS_LIMIT: Final = 64 * 1024
PRIVATE_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644
DIRECTORY_MODE: Final = 0o700

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NamedIdentity:
    """A host identity, the file that it came from, and how it shows itself."""

    name: str
    """File name without `.pem`, or what a key that lives in memory alone is called."""
    identity: PrivateHostIdentity
    traits: IdentityTraits = field(default_factory=IdentityTraits)
    is_on_disk: bool = True
    kind: str = DEFAULT_KIND
    """What a rotation makes."""
    rotate_s: float = 0.0
    """After this time another key takes the name; 0 is never."""
    domain_identifier: str | None = None
    """What was said of it alone; None: that of `[identity]`, but none for an anonymous one."""
    is_retired: bool = False
    """Whether it only waits for its last association to end."""

    @property
    def hit(self) -> Hit:
        """The HIT."""
        return self.identity.hit

    @property
    def hits(self) -> tuple[Hit, ...]:
        """That of HIPv2, then that of HIPv1 if the key has one."""
        return hits_of(self.identity)

    def hit_for(self, peer: Hit) -> Hit:
        """That of the HIP version of a peer, or else that of HIPv2."""
        return next((hit for hit in self.hits if hit.version == peer.version), self.hit)


def load_identities(directory: FilePath, default: str) -> list[NamedIdentity]:
    """Read every `*.pem` of the key directory; makes the default one if it is missing.

    Args:
        directory: made with mode 0700 if it does not exist.
        default: name of the default identity; where it names a kind ("rsa-3072"), that kind is
            made, else `DEFAULT_KIND`.

    Returns:
        The default identity first, the others by name.

    Raises:
        ConfigError: a key file that others can read, or that is no usable key; with the remedy.
        HostError: the directory cannot be made.
    """
    make_directory(directory, DIRECTORY_MODE, "[identity] directory")
    clear_leftovers(directory)
    default_file = directory / f"{default}.pem"
    try:
        files = sorted(file for file in directory.glob("*.pem") if not file.name.startswith("."))
        if default_file not in files:
            create_identity(directory, default, default if default in KEY_KINDS else DEFAULT_KIND)
            files.append(default_file)
    except OSError as error:
        raise ConfigError(
            f"{error.strerror}: expected a directory in which this process may write",
            file=str(directory),
            key="identity.directory",
        ) from error
    files.sort(key=lambda file: (file != default_file, file.name))
    return [NamedIdentity(file.stem, load_identity(file)) for file in files]


def create_identity(
    directory: FilePath, name: str, kind: str, *, allow_weak: bool = False
) -> PrivateHostIdentity:
    """Make a new host identity; never overwrites one.

    Raises:
        FileExistsError: there is a key of that name.
        OSError: the files cannot be written.
    """
    identity = PrivateHostIdentity.generate(kind, allow_weak=allow_weak)
    _write_new(directory / f"{name}.pem", identity.to_pem(), PRIVATE_MODE)
    public = directory / f"{name}.pub"
    public.unlink(missing_ok=True)
    _write_new(public, identity.public_pem(), PUBLIC_MODE)
    log.info("host identity made", extra={"key": name, "kind": kind, "hit": identity.hit})
    return identity


def load_identity(file: FilePath) -> PrivateHostIdentity:
    """Read one private key.

    Raises:
        ConfigError: see `load_identities`.  The permissions are looked at on the open file, so
            nobody can exchange it in between.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(stream.fileno())
            _check_owner(file, status)
            content = stream.read(KEY_OCTETS_LIMIT + 1)
    except OSError as error:
        raise ConfigError(
            f"{error.strerror}: expected a readable private key", file=str(file)
        ) from error
    if len(content) > KEY_OCTETS_LIMIT:
        raise ConfigError("too long for a private key in PEM form", file=str(file))
    try:
        identity = PrivateHostIdentity.from_pem(content, allow_weak=True)
    except CryptoError as error:
        raise ConfigError(
            f"{error}: expected an unencrypted private key in PEM form, of one of the kinds "
            f"{', '.join(KEY_KINDS)}; make one with `hipgw key new`",
            file=str(file),
        ) from error
    if identity.public.is_weak:
        log.warning(
            "weak host identity: for legacy peers only",
            extra={"file": file, "kind": identity.public.kind},
        )
    return identity


def _check_owner(file: FilePath, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError("expected a regular file", file=str(file))
    if mode & 0o077:
        raise ConfigError(
            f"private key with mode {mode:04o}, so others can use it: run `chmod 600 {file}`",
            file=str(file),
        )
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"private key of user id {status.st_uid}: run `chown {os.geteuid()} {file}`",
            file=str(file),
        )


def _write_new(file: FilePath, content: bytes, mode: int) -> None:
    """Make a file that is whole, has the right mode from its first octet on, and was not there."""
    temporary = file.with_name(f".{file.name}{TEMPORARY_SUFFIX}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.link(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
