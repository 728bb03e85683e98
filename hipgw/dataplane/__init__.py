"""Where security associations live: one interface, backends in user space and in memory."""
