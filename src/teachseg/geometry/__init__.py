"""Arithmetic of boxes and masks: pure functions without parameters."""
