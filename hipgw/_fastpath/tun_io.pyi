# Nothing here is visible from Python: see tun_io.pyx.
