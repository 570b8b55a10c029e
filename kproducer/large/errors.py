"""What a reader of large records raises."""

from kproducer import KafkaError


class LargeRecordError(KafkaError):
    """A record's chunks or its reference contradict themselves, or what was loaded is not what was stored."""

    persisted = "yes"
