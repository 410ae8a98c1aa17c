"""Training recipes, one for each network: from settings to a training run that is ready to start."""
