# Nothing here is visible from Python: see outbound.pyx.
