"""hipgw room: daemon."""
