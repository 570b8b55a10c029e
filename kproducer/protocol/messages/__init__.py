"""The APIs that we speak, one file each, in Kafka's spelling."""
