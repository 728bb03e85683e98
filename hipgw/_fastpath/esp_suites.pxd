"""Sizes of ESP suites; see esp_suites.pyx."""

from hipgw._fastpath.sa cimport SuiteShape

# Sizes of a suite (SUITE_* of sa.pxd); all zero for a suite that hipgw does not carry.
cdef SuiteShape suite_shape(int suite) noexcept nogil
