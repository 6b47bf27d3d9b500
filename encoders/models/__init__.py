"""Models, run in C++ or in torch."""
