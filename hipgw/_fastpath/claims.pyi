# Nothing here is visible from Python: see claims.pyx.
