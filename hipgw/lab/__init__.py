"""hipgw room: lab."""
