"""Labelled data sets: CryoPPP and COCO."""
