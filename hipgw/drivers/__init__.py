"""hipgw room: drivers."""
