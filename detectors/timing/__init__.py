"""How long a call takes on a device: blocks of calls, their statistics, and the device's state."""
