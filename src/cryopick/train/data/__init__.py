"""Training examples: labelled micrographs, crops, targets and augmentation."""
