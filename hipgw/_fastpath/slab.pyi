# Nothing here is visible from Python: see slab.pyx.
