# Nothing here is visible from Python: see receive.pyx.
