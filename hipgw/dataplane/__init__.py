"""hipgw room: dataplane."""
