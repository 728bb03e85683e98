"""hipgw room: perf."""
