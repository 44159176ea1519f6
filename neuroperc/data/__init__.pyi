from .media import load_image as load_image
from .media import load_movie as load_movie
from .media import save_image as save_image
from .media import save_movie as save_movie
from .readers.psychopy import export_psychopy as export_psychopy
from .readers.psychopy import read_psychopy_conditions as read_psychopy_conditions
from .readers.psychopy import read_psychopy_schedule as read_psychopy_schedule
from .readers.zarr import open_zarr as open_zarr
from .readers.zarr import save_zarr as save_zarr
from .samples import SAMPLES as SAMPLES
from .samples import sample_clip as sample_clip
from .samples import sample_image as sample_image
from .stimuli import StimulusSet as StimulusSet

__all__: list[str]
