from .fixations import FIXATION_COLUMNS as FIXATION_COLUMNS
from .fixations import GAZE_COLUMNS as GAZE_COLUMNS
from .fixations import TRIAL_COLUMNS as TRIAL_COLUMNS
from .fixations import EyeRecording as EyeRecording
from .fixations import Scanpaths as Scanpaths
from .fixations import assign_objects as assign_objects
from .fixations import check_fixations as check_fixations
from .fixations import check_gaze as check_gaze
from .fixations import check_trials as check_trials
from .fixations import deg_to_pixels as deg_to_pixels
from .fixations import detect_events as detect_events
from .fixations import detect_fixations as detect_fixations
from .fixations import drift_correct as drift_correct
from .fixations import fixation_density as fixation_density
from .fixations import gaze_quality as gaze_quality
from .fixations import make_fixations as make_fixations
from .fixations import make_gaze as make_gaze
from .fixations import make_trials as make_trials
from .fixations import n_fixations as n_fixations
from .fixations import pixels_to_deg as pixels_to_deg
from .fixations import saccades as saccades
from .fixations import scanpaths as scanpaths
from .media import load_image as load_image
from .media import load_movie as load_movie
from .media import save_image as save_image
from .media import save_movie as save_movie
from .perceived_flow import PerceivedFlow as PerceivedFlow
from .readers.amazon_covers import read_amazon_covers as read_amazon_covers
from .readers.bids import read_bids_gaze as read_bids_gaze
from .readers.bids import write_bids_gaze as write_bids_gaze
from .readers.brain_rdms import read_objects92 as read_objects92
from .readers.brain_rdms import read_objects92_stimuli as read_objects92_stimuli
from .readers.brain_rdms import read_photographs78 as read_photographs78
from .readers.brainio import read_brainio as read_brainio
from .readers.brainio import read_brainio_spikes as read_brainio_spikes
from .readers.brainio import write_brainio as write_brainio
from .readers.brainio_stimuli import read_brainio_stimuli as read_brainio_stimuli
from .readers.brainio_stimuli import write_brainio_stimuli as write_brainio_stimuli
from .readers.coco_search import read_coco_search as read_coco_search
from .readers.coco_search import write_coco_search as write_coco_search
from .readers.cowley_v4 import cowley_v4_sessions as cowley_v4_sessions
from .readers.cowley_v4 import read_cowley_stimuli as read_cowley_stimuli
from .readers.cowley_v4 import read_cowley_v4 as read_cowley_v4
from .readers.eyelink import read_eyelink as read_eyelink
from .readers.eyelink import write_eyelink as write_eyelink
from .readers.fixation_vectors import read_fixation_vectors as read_fixation_vectors
from .readers.fixation_vectors import write_fixation_vectors as write_fixation_vectors
from .readers.huperflow import FlowClip as FlowClip
from .readers.huperflow import read_huperflow as read_huperflow
from .readers.huperflow import read_huperflow_clip as read_huperflow_clip
from .readers.interiors import read_interiors as read_interiors
from .readers.netcdf import read_responses as read_responses
from .readers.netcdf import read_scores as read_scores
from .readers.netcdf import write_responses as write_responses
from .readers.netcdf import write_scores as write_scores
from .readers.pictures_from_fmri import read_digits69 as read_digits69
from .readers.pictures_from_fmri import read_digits69_stimuli as read_digits69_stimuli
from .readers.pictures_from_fmri import read_miyawaki_v1 as read_miyawaki_v1
from .readers.pictures_from_fmri import read_miyawaki_v1_stimuli as read_miyawaki_v1_stimuli
from .readers.psychopy import export_psychopy as export_psychopy
from .readers.psychopy import read_psychopy_conditions as read_psychopy_conditions
from .readers.psychopy import read_psychopy_schedule as read_psychopy_schedule
from .readers.second_order_flow import read_second_order_flow as read_second_order_flow
from .readers.sintel_slow import read_sintel_slow as read_sintel_slow
from .readers.temporal_flow import read_temporal_flow as read_temporal_flow
from .readers.visions import read_visions as read_visions
from .readers.visions import write_visions as write_visions
from .readers.vsa import read_vsa_found as read_vsa_found
from .readers.vsa import read_vsa_item_scanpaths as read_vsa_item_scanpaths
from .readers.vsa import read_vsa_scanpaths as read_vsa_scanpaths
from .readers.vsa import vsa_display as vsa_display
from .readers.zarr import open_zarr as open_zarr
from .readers.zarr import save_zarr as save_zarr
from .readers.zhang_it import read_zhang_it as read_zhang_it
from .responses import average_repeats as average_repeats
from .responses import check_responses as check_responses
from .responses import check_scores as check_scores
from .responses import make_responses as make_responses
from .responses import select as select
from .responses import split_repeats as split_repeats
from .samples import SAMPLES as SAMPLES
from .samples import sample_clip as sample_clip
from .samples import sample_image as sample_image
from .stimuli import StimulusSet as StimulusSet

__all__ = [
    "FIXATION_COLUMNS",
    "GAZE_COLUMNS",
    "SAMPLES",
    "TRIAL_COLUMNS",
    "EyeRecording",
    "FlowClip",
    "PerceivedFlow",
    "Scanpaths",
    "StimulusSet",
    "assign_objects",
    "average_repeats",
    "check_fixations",
    "check_gaze",
    "check_responses",
    "check_scores",
    "check_trials",
    "deg_to_pixels",
    "detect_events",
    "detect_fixations",
    "drift_correct",
    "export_psychopy",
    "fixation_density",
    "gaze_quality",
    "load_image",
    "load_movie",
    "make_fixations",
    "make_gaze",
    "make_responses",
    "make_trials",
    "n_fixations",
    "open_zarr",
    "pixels_to_deg",
    "read_amazon_covers",
    "read_bids_gaze",
    "read_brainio",
    "read_brainio_spikes",
    "read_brainio_stimuli",
    "read_coco_search",
    "read_eyelink",
    "read_digits69",
    "read_digits69_stimuli",
    "read_fixation_vectors",
    "read_huperflow",
    "read_huperflow_clip",
    "read_interiors",
    "read_miyawaki_v1",
    "read_miyawaki_v1_stimuli",
    "read_psychopy_conditions",
    "read_psychopy_schedule",
    "read_responses",
    "read_scores",
    "read_second_order_flow",
    "read_sintel_slow",
    "read_temporal_flow",
    "read_visions",
    "read_vsa_found",
    "read_vsa_item_scanpaths",
    "read_vsa_scanpaths",
    "saccades",
    "sample_clip",
    "sample_image",
    "save_image",
    "save_movie",
    "save_zarr",
    "scanpaths",
    "select",
    "split_repeats",
    "vsa_display",
    "write_bids_gaze",
    "write_brainio",
    "write_brainio_stimuli",
    "write_coco_search",
    "write_eyelink",
    "write_fixation_vectors",
    "write_responses",
    "write_scores",
    "write_visions",
]
