"""hipgw room: netlink."""
