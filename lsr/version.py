"""The version of lsr, and of the compiled kernels that it needs."""

__version__ = "0.1.0"

# CMakeLists.txt compiles this number into the kernels, and lsr/kernels.py compares.  Add 1 when
# a change of C++ must not meet older Python, or the other way round.
KERNELS = 4
