"""hipgw room: wire."""
