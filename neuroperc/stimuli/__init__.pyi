from .equalizing import Equalized as Equalized
from .equalizing import equalize as equalize
from .search_displays import SEARCH_TASKS as SEARCH_TASKS
from .search_displays import cell_table as cell_table
from .search_displays import item_table as item_table
from .search_displays import search_displays as search_displays
from .trial_lists import trials as trials

__all__ = ["SEARCH_TASKS", "Equalized", "cell_table", "equalize", "item_table", "search_displays", "trials"]
