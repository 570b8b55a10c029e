"""Sockets and names: the only place that maps OSError to our errors."""
