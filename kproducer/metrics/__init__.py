"""Metrics under Java's names: what each is, and how it follows from the counters of C. No clock, no lock, no thread."""
