"""hipgw room: crypto."""
