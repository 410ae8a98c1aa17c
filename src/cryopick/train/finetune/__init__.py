"""Fine-tuning of trained weights on a user's micrographs."""
