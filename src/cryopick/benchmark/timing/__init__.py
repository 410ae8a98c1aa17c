"""Time and memory of pickers, programs and training steps."""
