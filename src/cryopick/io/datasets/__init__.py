"""Labelled datasets: CryoPPP and COCO."""
