# Nothing here is visible from Python: see quiet.pyx.
