"""Every configuration key, declared once, and the way from a mapping of keys to a frozen ProducerConfig.

Owns names, types, defaults, ranges and the rules between keys; below it values are plain. Any thread.
"""

from kproducer.config.addresses import HostPort
from kproducer.config.environment import read_environment
from kproducer.config.keys import Key, Status
from kproducer.config.parse import parse_config
from kproducer.config.profiles import PROFILES
from kproducer.config.table import ALL_KEYS, KEYS, NOT_BUILT, ProducerConfig
from kproducer.config.values import INT_MAX, LONG_MAX, MAX_DURATION_MS

__all__ = [
    "ALL_KEYS",
    "INT_MAX",
    "KEYS",
    "LONG_MAX",
    "MAX_DURATION_MS",
    "NOT_BUILT",
    "PROFILES",
    "HostPort",
    "Key",
    "ProducerConfig",
    "Status",
    "parse_config",
    "read_environment",
]
