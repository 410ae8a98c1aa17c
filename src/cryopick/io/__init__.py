"""Reading and writing of micrographs and picks in the formats of other programs."""
