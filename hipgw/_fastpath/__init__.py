"""hipgw room: _fastpath."""
