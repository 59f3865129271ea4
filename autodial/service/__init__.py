"""Wiring: building, starting and stopping the dialler; its metrics."""
