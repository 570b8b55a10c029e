"""Threads of the control side, and the loop that holds the machines together."""
