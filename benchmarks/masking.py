"""Masking a 150-volume file on NSD's grid: read_betas, streamed, against nilearn's NiftiMasker; time and memory.

Run: python -m benchmarks.masking [n_volumes]    (needs 1.7 MB of disk a volume, twice)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import interleave, peak_mib, write

GRID = (81, 104, 83)
N_VOXELS = 15_724  # nsdgeneral of subject 1


def make(folder: Path, n_volumes: int) -> None:
    """Write int16 betas with a slope, as .nii and .nii.gz, and a mask."""
    import nibabel

    rng = np.random.default_rng(0)
    affine = np.diag([1.8, 1.8, 1.8, 1.0])
    # A ball of voxels in the back of the head, as compact as nsdgeneral.
    points = np.stack(np.meshgrid(*map(np.arange, GRID), indexing="ij"), -1)
    away = np.linalg.norm(points - np.array([40, 30, 41]), axis=-1)
    inside = away <= np.sort(away.ravel())[N_VOXELS - 1]
    nibabel.Nifti1Image(inside.astype(np.uint8), affine).to_filename(folder / "mask.nii")
    brain = away <= 38
    header = nibabel.Nifti1Header()
    header.set_data_shape((*GRID, n_volumes))
    header.set_data_dtype(np.int16)
    header.set_sform(affine, 1)
    header.set_slope_inter(1 / 300, 0)
    header["vox_offset"] = 352
    with open(folder / "betas.nii", "wb") as file:  # noqa: PTH123
        file.write(header.binaryblock + b"\0" * 4)
        for _ in range(n_volumes):
            volume = np.where(brain, rng.normal(0, 600, GRID), 0).astype(np.int16)
            file.write(volume.ravel(order="F").tobytes())
    subprocess.run(["gzip", "-1", "-k", str(folder / "betas.nii")], check=True)


def ours(file: Path, n_volumes: int) -> np.ndarray:
    """Read with neuroperc."""
    from neuroperc.decoding import read_betas

    return read_betas(file, mask=file.parent / "mask.nii", trials={"stimulus_id": np.arange(n_volumes)}).values


def nilearn(file: Path) -> np.ndarray:
    """Read with nilearn."""
    from nilearn.maskers import NiftiMasker

    return NiftiMasker(mask_img=str(file.parent / "mask.nii"), dtype="float32", standardize=None).fit_transform(
        str(file)
    )


def peak(who: str, file: Path, n_volumes: int) -> float:
    """Peak resident memory in MB above the level after imports, in a process of its own."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-m", "benchmarks.masking", "--peak", who, str(file),
                           str(n_volumes)], capture_output=True, text=True, check=True)  # fmt: skip
    return float(done.stdout.split()[-1])


def measure_peak(who: str, file: Path, n_volumes: int) -> None:
    """Print the peak of one reading."""
    import nilearn.maskers

    from neuroperc.decoding import read_betas  # noqa: F401  (imports are not what is measured)

    nilearn.maskers.NiftiMasker()
    small = make_small(file)
    ours(small, 1) if who == "neuroperc" else globals()["nilearn"](small)
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak so far, which a child also inherits
    before = peak_mib()
    ours(file, n_volumes) if who == "neuroperc" else globals()["nilearn"](file)
    print(peak_mib() - before)


def make_small(file: Path) -> Path:
    """Write a file of one voxel, to warm what is imported late."""
    import nibabel

    folder = Path(tempfile.mkdtemp())
    one = np.ones((2, 2, 2), np.float32)
    nibabel.Nifti1Image(one, np.eye(4)).to_filename(folder / "mask.nii")
    nibabel.Nifti1Image(one[..., None], np.eye(4)).to_filename(folder / "betas.nii")
    return folder / "betas.nii"


def main(n_volumes: int = 150) -> None:
    """Time both on .nii and .nii.gz in turn and write benchmarks/results/masking.json."""
    import warnings

    warnings.filterwarnings("ignore")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, n_volumes)
        for ending in (".nii", ".nii.gz"):
            file = folder / f"betas{ending}"
            same = bool(np.array_equal(ours(file, n_volumes), nilearn(file)))
            times = interleave(
                {"neuroperc": lambda f=file: ours(f, n_volumes), "nilearn": lambda f=file: nilearn(f)}, repeats=3
            )
            peaks = {who: round(peak(who, file, n_volumes), 1) for who in ("neuroperc", "nilearn")}
            ratio = {k: times["nilearn"][k] / times["neuroperc"][k] for k in times["nilearn"]}
            rows.append({"file": ending, "n_volumes": n_volumes, "grid": GRID, "n_voxels": N_VOXELS, "times": times,
                         "nilearn / neuroperc": ratio, "peak_extra_mb": peaks, "identical": same})  # fmt: skip
            print(json.dumps(rows[-1], indent=1))
    write(
        "masking", rows, threads=1, note="mask given; no filtering; float32; files in the page cache; best of 3 rounds"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        measure_peak(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main(*map(int, sys.argv[1:]))
