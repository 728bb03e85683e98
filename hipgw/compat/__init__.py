"""hipgw room: compat."""
