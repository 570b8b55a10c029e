"""`python -m kproducer.cli` is the `kproducer` command."""

import sys

from kproducer.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
