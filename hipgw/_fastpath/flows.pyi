# Nothing here is visible from Python: see flows.pyx.
