# Nothing here is visible from Python: see warm.pyx.
