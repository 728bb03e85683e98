# Nothing here is visible from Python: see send.pyx.
