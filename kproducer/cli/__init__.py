"""The `kproducer` command: one file per subcommand, over the public API only."""

from kproducer.cli.app import main

__all__ = ["main"]
