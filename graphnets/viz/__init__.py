"""Pictures of movement: animations, film strips, contact sheets, sensor curves, confusion matrices.

Left is blue, right vermilion, the trunk grey, a second motion green. Nothing here needs a display.
"""

from graphnets.viz.attribution import attribution
from graphnets.viz.body import StickFigure, skeleton_frame
from graphnets.viz.charts import confusion_matrix, signals
from graphnets.viz.clip import Clip
from graphnets.viz.curves import curves
from graphnets.viz.forces import Acting, animate_forces
from graphnets.viz.frontier import Candidate, frontier, pareto
from graphnets.viz.motion import MAX_SHEET, animate, animate_clip, contact_sheet, film_strip
from graphnets.viz.movie import find_ffmpeg

__all__ = [
    "MAX_SHEET",
    "Acting",
    "Candidate",
    "Clip",
    "StickFigure",
    "animate",
    "animate_clip",
    "animate_forces",
    "attribution",
    "confusion_matrix",
    "contact_sheet",
    "curves",
    "film_strip",
    "find_ffmpeg",
    "frontier",
    "pareto",
    "signals",
    "skeleton_frame",
]
