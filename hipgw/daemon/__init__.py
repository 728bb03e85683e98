"""The composition root: configuration, loop, workers, control socket, state on disk.

`main.run` is the entry point and `composition` puts the parts together.  Packets without an
association go through `traffic`, the engine's effects through `engine_loop` and `gateway`.
"""
