# Nothing here is visible from Python: see deliver.pyx.
