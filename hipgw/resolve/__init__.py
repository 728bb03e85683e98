"""hipgw room: resolve."""
