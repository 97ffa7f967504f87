"""Timing of calls on a device: blocks of calls, their statistics, and the device's state."""
