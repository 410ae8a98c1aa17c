"""Training recipes, one for each network, which make a training run from settings."""
