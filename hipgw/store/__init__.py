"""hipgw room: store."""
