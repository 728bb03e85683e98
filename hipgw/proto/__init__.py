"""hipgw room: proto."""
