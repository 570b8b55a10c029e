"""kproducer beside its peers, interleaved in one run: `python -m bench.peers --help`."""
