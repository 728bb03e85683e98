"""hipgw room: policy."""
