# Nothing here is visible from Python: see pages.pyx.
