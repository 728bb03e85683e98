# Nothing here is visible from Python: see key_cache.pyx.
