"""The table of benchmarks: its rows, how they are run, judged and shown."""
