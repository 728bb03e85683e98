"""The engine behind `hipgw bench`: figures of kernels, taken in memory."""
