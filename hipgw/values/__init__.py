"""Frozen, hashable values that every room may use; imports nothing else of hipgw."""

from hipgw.values.identifiers import NULL_HIT, Hit, Lsi, Spi
from hipgw.values.paths import (
    ESP_PROTOCOL,
    HIP_PROTOCOL,
    HIP_UDP_PORT,
    Address,
    Encapsulation,
    Path,
)
from hipgw.values.registries import (
    DH_GROUPS_V1_ONLY,
    ESP_SHAPES,
    ESP_SHAPES_V1,
    RHASH_OCTETS,
    SUITE_OF_ALGORITHM,
    DhGroup,
    EspShape,
    EspSuite,
    EspSuiteV1,
    HiAlgorithm,
    HipCipher,
    HipTransform,
    HitSuite,
    NotifyType,
)
from hipgw.values.security_associations import Direction, SaStatistics, SecurityAssociation

__all__ = [
    "DH_GROUPS_V1_ONLY",
    "ESP_PROTOCOL",
    "ESP_SHAPES",
    "ESP_SHAPES_V1",
    "HIP_PROTOCOL",
    "HIP_UDP_PORT",
    "NULL_HIT",
    "RHASH_OCTETS",
    "SUITE_OF_ALGORITHM",
    "Address",
    "DhGroup",
    "Direction",
    "Encapsulation",
    "EspShape",
    "EspSuite",
    "EspSuiteV1",
    "HiAlgorithm",
    "HipCipher",
    "HipTransform",
    "Hit",
    "HitSuite",
    "Lsi",
    "NotifyType",
    "Path",
    "SaStatistics",
    "SecurityAssociation",
    "Spi",
]
