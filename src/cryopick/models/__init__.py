"""Networks, in plain torch: tensors in, tensors out, no files and no micrographs."""
