"""What can go wrong with a local Kafka cluster."""


class ClusterError(RuntimeError):
    """A local Kafka cluster could not do what it was asked for; the text shows a failed broker's last log."""


class MissingExtraError(ClusterError):
    """The packages which bring Kafka and its Java runtime are not installed; the text holds the pip line."""
