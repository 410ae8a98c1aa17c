"""Look at picks in the browser and correct them; the originals stay as they are, every correction is on the disk at once."""
