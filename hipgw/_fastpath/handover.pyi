# Nothing here is visible from Python: see handover.pyx.
