# Nothing here is visible from Python: see subnets.pyx.
