# Nothing here is visible from Python: see classify.pyx.
