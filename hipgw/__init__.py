"""hipgw: a Host Identity Protocol gateway (RFC 7401 and family)."""

__version__ = "0.1.0"
