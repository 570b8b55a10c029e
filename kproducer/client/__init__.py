"""The mind of the producer: machines that decide, without sockets, clocks or threads."""
