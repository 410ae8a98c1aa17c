"""Training tasks: the losses and the validation of each network."""
