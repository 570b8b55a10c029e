"""Kafka's wire protocol as pure functions over bytes: no socket, no clock, no thread."""
