"""A day on a fake clock, with drawn clients."""
