"""What can be asked of the daemon about certificates.

    host_identity: hit -> {"hit", "algorithm", "hi" (base64)}: own, or proven by an association
    certificate*: hit, valid_till (Unix seconds or null) -> {"hit", "serial", "valid_until", "der"}

Those marked * change something: root only.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Mapping
from typing import Any, Final

from hipgw.crypto import HostIdentity
from hipgw.daemon.control import Access, Method
from hipgw.daemon.control_protocol import RefusedError, take_params
from hipgw.daemon.fleet_ca import DAY_S, AuthorityFiles, read_file
from hipgw.daemon.gateway import Gateway
from hipgw.daemon.hip_cert_cnf import IssuingOptions, load_issuing_options
from hipgw.errors import HipgwError
from hipgw.values import Hit

HOST_DAYS: Final = 365
LATEST_S: Final = 253_402_300_799
"""The last second of the year 9999, which X.509 ends with."""

Params = Mapping[str, Any]


class CertificateMethods:
    """The methods, bound to a running gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def table(self) -> dict[str, Method]:
        """Method name -> what answers it."""
        return {
            "host_identity": Method(self._host_identity),
            "certificate": Method(self._certificate, Access.CHANGE),
        }

    async def _host_identity(self, params: Params) -> dict[str, Any]:
        identity = self._identity(take_params(params, hit=str))
        return {
            "hit": str(identity.hit),
            "algorithm": int(identity.algorithm),
            "hi": base64.b64encode(identity.hi).decode(),
        }

    def _identity(self, given: dict[str, Any]) -> HostIdentity:
        try:
            hit = Hit.parse(given.get("hit", ""))
        except ValueError as error:
            raise RefusedError("bad_params", str(error), "give a HIT") from error
        for identity in self._gateway.facts.public_identities:
            if hit in {identity.hit, identity.hit_v1}:
                return identity
        proven = self._gateway.engine.endpoint.host_identity(hit)
        if proven is None:
            raise RefusedError(
                "not_found", f"no key of {hit} is known here", f"run `hipgw connect {hit}` first"
            )
        return proven

    async def _certificate(self, params: Params) -> dict[str, Any]:
        given = take_params(
            {name: value for name, value in params.items() if value is not None},
            hit=str,
            valid_till=int,
        )
        options = self._gateway.config.certificates
        files = AuthorityFiles(options.authority)
        if not files.exists:
            raise RefusedError(
                "no_authority",
                f"no authority in {options.authority}",
                "make one with `hipgw cert ca new`",
            )
        identity = self._identity(given)
        until_s: int | None = given.get("valid_till")
        if until_s is not None and not 0 < until_s <= LATEST_S:
            raise RefusedError("bad_params", f"valid_till is {until_s}", "use Unix seconds")
        try:
            how = load_issuing_options(options.issuing)
            # Another process may hold the directory's lock.
            return await asyncio.to_thread(issue_for, files, identity, how, until_s)
        except HipgwError as error:
            raise RefusedError("failed", str(error), "see `hipgw cert --help`") from error


def issue_for(
    files: AuthorityFiles, identity: HostIdentity, how: IssuingOptions, until_s: int | None
) -> dict[str, Any]:
    """Certify a host and tell what came of it.

    Args:
        files: the authority.
        identity: of the host.
        how: days and extensions.
        until_s: end of validity; None: after the days, or with the authority.

    Raises:
        HipgwError: not possible.
    """
    now_s = int(time.time())
    with files.locked():
        authority = files.certificate()
        how.check_issuer(authority)
        ends_s = until_s
        if ends_s is None:
            ends_s = min(now_s + (how.days or HOST_DAYS) * DAY_S, authority.not_after_s)
        row = files.issue(identity, ends_s, now_s, how.extras)
        der = read_file(files.file_of(row, ".der"))
    return {
        "hit": str(row.hit),
        "serial": row.name,
        "valid_until": row.not_after_s,
        "der": base64.b64encode(der).decode(),
    }
