"""hipgw room: cli."""
