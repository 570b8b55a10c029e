"""The Cython binding over csrc: accumulator, pump, results. Knows errors and types, and never calls up."""
