"""The advisor: asks a cluster what a producer of some configuration would meet there. No records are sent."""
