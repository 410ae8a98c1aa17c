"""Everything that is drawn for people: overlays, panels, thumbnails and pyramids."""
