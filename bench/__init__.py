"""Benchmarks of kproducer and its peers; README.md here says what each command measures."""
