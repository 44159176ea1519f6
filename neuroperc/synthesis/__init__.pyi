from .eigendistortion import Eigendistortions as Eigendistortions
from .eigendistortion import eigendistortions as eigendistortions
from .mad import MadCompetition as MadCompetition
from .mad import mad_competition as mad_competition
from .metamer import Metamer as Metamer
from .optimize import synthesize as synthesize

__all__ = ["Eigendistortions", "MadCompetition", "Metamer", "eigendistortions", "mad_competition", "synthesize"]
