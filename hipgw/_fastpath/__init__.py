"""The packet path in Cython: kernels, tables, rings and workers; imports nothing of hipgw."""
