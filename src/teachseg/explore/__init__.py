"""Sliders that answer: pure frames, the one widget class that shows them, and a box to drag.

`explorer.py` connects sliders to a frame, `svg.py` is the small vocabulary that frames are drawn
with, `stage.py` is the draggable box, and every other module holds the explorers of its subject.
"""
