# Nothing here is visible from Python: see batch_io.pyx.
