"""What runs a model: in C++ or in torch."""
