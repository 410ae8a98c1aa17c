"""Drawings of micrographs and picks: overlays, panels, thumbnails and tile pyramids."""
