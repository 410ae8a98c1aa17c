"""What each network is trained to do: its losses and validation."""
