# Nothing here is visible from Python: see inbound.pyx.
