"""Training of networks: data, targets, losses and loops."""
