"""The store of record: killed and resumed, torn, shared, and never stale; EfficientNet-Lite0 on real photographs."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import neuroperc as npc
from neuroperc import nets
from neuroperc.data import StimulusSet, responses, sample_image
from neuroperc.nets import Preprocess
from neuroperc.recording import clear_cache, list_cache, record, store
from neuroperc.recording.identity import digest

LAYERS = ["blocks.1", "blocks.6", "classifier"]


def crops(n, size=64):
    rng, found = np.random.default_rng(0), []
    for k in range(n):
        image = sample_image(("china", "flower", "grace_hopper")[k % 3])[0]
        y, x = (int(rng.integers(0, s - size)) for s in image.shape[-2:])
        found.append(image[:, y : y + size, x : x + size])
    return torch.stack(found)


def shown(pixels, ppd=8, **more):
    display = npc.Display.from_px_per_deg(ppd, resolution_px=tuple(pixels.shape[-2:]))
    return StimulusSet.from_arrays(pixels, display=display, **more)


@pytest.fixture(scope="module")
def lite0():
    return nets.efficientnet_lite0(preprocess={"size_px": 64, "resize_px": None})


RUN = textwrap.dedent(
    """
    import os, signal, sys
    import numpy as np, torch
    import neuroperc as npc
    from neuroperc import nets
    from neuroperc.data import StimulusSet
    from neuroperc.recording import record
    from neuroperc.recording.store import Writer

    folder, images, *layers = sys.argv[1:]
    torch.set_num_threads(THREADS)
    calls, plain = 0, Writer.write

    def write(self, start, rows):
        global calls
        calls += 1
        if calls == 8:  # three layers a batch: in the third batch, after its first layer
            with self._part.open("r+b") as file:  # half of the second one is on the disk already
                file.seek(128 + start * self.features.row_bytes)
                file.write(rows.tobytes()[: rows.nbytes // 2])
                file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        plain(self, start, rows)

    Writer.write = write
    pixels = torch.from_numpy(np.load(images))
    display = npc.Display.from_px_per_deg(8, resolution_px=(64, 64))
    stimuli = StimulusSet.from_arrays(pixels, display=display)
    net = nets.efficientnet_lite0(preprocess={"size_px": 64, "resize_px": None})
    record(net, stimuli, layers, store=folder, batch_size=4)
    """
)


def test_killed_half_way_and_resumed_gives_the_same_bytes(lite0, tmp_path, count):
    images = crops(18)
    np.save(tmp_path / "images.npy", images.numpy())
    settings = {"layers": LAYERS, "batch_size": 4}
    command = [
        sys.executable,
        "-c",
        RUN.replace("THREADS", str(torch.get_num_threads())),
        str(tmp_path / "cut"),
        str(tmp_path / "images.npy"),
        *LAYERS,
    ]
    killed = subprocess.run(command, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert list(list_cache(tmp_path / "cut")["complete"]) == [False] * 3
    # Torn on top: half a line, and flipped bytes of a batch that is noted as written.
    folder = next(p for p in (tmp_path / "cut").iterdir() if (p / "progress.jsonl").read_text().count("\n") > 2)
    with (folder / "progress.jsonl").open("a") as file:
        file.write('{"start": 12, "stop":')
    with (folder / "features.npy.part").open("r+b") as file:
        file.seek(200)
        file.write(b"\xff\x00\xff")
    resumed = record(lite0, shown(images), store=tmp_path / "cut", **settings)
    written = list(count.starts)
    assert sorted(written) == [0, 8, 8, 12, 12, 12, 16, 16, 16]  # seven were there, one of them damaged
    whole = record(lite0, shown(images), store=tmp_path / "whole", **settings)
    assert resumed.values.tobytes() == whole.values.tobytes()
    assert len(count.starts) - len(written) == 15
    folders = [p for p in (tmp_path / "whole").iterdir() if p.is_dir()]
    for folder in folders:
        twin = tmp_path / "cut" / folder.name
        assert (folder / "features.npy").read_bytes() == (twin / "features.npy").read_bytes()
    assert len(folders) == 3


class Count:
    """Watches what is written to stores."""

    def __init__(self, monkeypatch):
        self.starts, plain = [], store.Writer.write

        def write(writer, start, rows):
            self.starts.append(start)
            plain(writer, start, rows)

        monkeypatch.setattr(store.Writer, "write", write)

    def misses(self, *arguments, **settings):
        before = len(self.starts)
        out = record(*arguments, **settings)
        return len(self.starts) > before, out


@pytest.fixture
def count(monkeypatch):
    return Count(monkeypatch)


def test_whatever_matters_misses_and_nothing_else_does(lite0, tmp_path, count):
    images = crops(3)
    settings = {"layers": "blocks.1", "store": tmp_path}
    missed, first = count.misses(lite0, shown(images), **settings)
    assert missed
    missed, again = count.misses(lite0, shown(images), **settings)
    assert not missed and first.identical(again)
    twin = nets.efficientnet_lite0(preprocess={"size_px": 64, "resize_px": None})
    assert not count.misses(twin.train(), shown(images), batch_size=2, **settings)[0]

    with torch.no_grad():
        twin.net.blocks[0][0].conv_dw.weight[0, 0, 0, 0] += 1e-4
    missed, other = count.misses(twin, shown(images), **settings)
    assert missed and not np.array_equal(first.values, other.values)
    one_pixel = images.clone()
    one_pixel[2, 1, 30, 31] += 1 / 255
    missed, other = count.misses(lite0, shown(one_pixel), **settings)
    assert missed and np.array_equal(first.values[:2], other.values[:2])
    assert not np.array_equal(first.values[2], other.values[2])
    for size in (72, 64):
        net = nets.efficientnet_lite0(preprocess={"size_px": size, "resize_px": None})
        assert count.misses(net, shown(images), **settings)[0] == (size == 72)
    for changed in (
        {"visual_deg": 12}, {"visual_deg": 8, "background": 0.1}, {"dtype": "float16"},
        {"visual_deg": 12, "fixation_deg": (1, 0)}, {"preprocess": {"encoding": "linear"}},
    ):  # fmt: skip
        assert count.misses(lite0, shown(images), **settings | changed)[0], changed
    assert count.misses(lite0, shown(images, ppd=10), visual_deg=12, **settings)[0]
    assert count.misses(lite0, shown(images), layers="blocks.0", store=tmp_path)[0]


def test_only_what_is_missing_is_run(lite0, tmp_path):
    images = shown(crops(3))
    record(lite0, images, "blocks.0", store=tmp_path)
    both = record(lite0, images, ["blocks.0", "blocks.1"], store=tmp_path)
    np.testing.assert_array_equal(both.values, record(lite0, images, ["blocks.0", "blocks.1"]).values)
    table = list_cache(tmp_path)
    assert sorted(table["layer"]) == ["blocks.0", "blocks.1"] and table["complete"].all()
    assert (table["n_presentations"] == 3).all()
    assert clear_cache(tmp_path, [table["key"][0]]) == 1 and len(list_cache(tmp_path)) == 1
    with pytest.raises(ValueError, match="among those of list_cache"):
        clear_cache(tmp_path, ["nothing"])
    with pytest.raises(ValueError, match="a folder"):
        list_cache(tmp_path / "nowhere")
    assert clear_cache(tmp_path) == 1 and list_cache(tmp_path).empty


def tear_bytes(folder):
    with (folder / "features.npy").open("r+b") as file:
        file.seek(-7, os.SEEK_END)
        file.write(b"\x01\x02")


def tear_end(folder):
    path = folder / "features.npy"
    path.write_bytes(path.read_bytes()[:-100])


def tear_manifest(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text()[:-30])


def tear_header(folder):
    with (folder / "features.npy").open("r+b") as file:
        file.write(b"nothing")


def lose_data(folder):
    (folder / "features.npy").unlink()


@pytest.mark.parametrize("tear", [tear_bytes, tear_end, tear_manifest, tear_header, lose_data])
def test_torn_results_are_found_and_made_again(tmp_path, tear):
    torch.manual_seed(0)
    model, x = nn.Conv2d(3, 4, 3), torch.rand(5, 3, 8, 8)
    settings = {"preprocess": None, "encoding": "linear", "store": tmp_path, "batch_size": 2}
    first = record(model, x, **settings)
    folder = next(p for p in tmp_path.iterdir() if p.is_dir())
    tear(folder)
    again = record(model, x, **settings)
    np.testing.assert_array_equal(first.values, again.values)
    assert json.loads((folder / "manifest.json").read_text())["layer"] == "output"
    assert not (folder / "features.npy.part").exists()


def test_two_processes_do_not_write_one_result(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    model, x = nn.Conv2d(3, 4, 3), torch.rand(5, 3, 8, 8)
    settings = {"preprocess": None, "encoding": "linear", "store": tmp_path}
    record(model, x, **settings)
    folder = next(p for p in tmp_path.iterdir() if p.is_dir())
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RuntimeError, match="held by another"):
            record(model, x, **settings)


def test_a_full_disk_says_so_and_goes_on_later(tmp_path, monkeypatch):
    model, x = nn.Conv2d(3, 4, 3), torch.rand(6, 3, 8, 8)
    settings = {"preprocess": None, "encoding": "linear", "store": tmp_path, "batch_size": 2}
    plain, calls = store.Writer._note, []

    def full(self, batch):
        calls.append(batch)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        plain(self, batch)

    monkeypatch.setattr(store.Writer, "_note", full)
    with pytest.raises(OSError, match="run the same call again"):
        record(model, x, **settings)
    resumed = record(model, x, **settings)
    assert [batch[0] for batch in calls] == [0, 2, 2, 4]
    np.testing.assert_array_equal(resumed.values, record(model, x, preprocess=None, encoding="linear", batch_size=2))
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: type("", (), {"free": 10})())
    with pytest.raises(OSError, match="MB free"):
        record(model, x * 0.5, **settings)


def gain():
    return FACTOR


FACTOR = 2.0


class Custom(nn.Module):
    def __init__(self, stride=1):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return x[..., :: self.stride] * gain()


def test_the_digest_sees_settings_hooks_helpers_and_constants(monkeypatch):
    base = digest(Custom())
    assert base == digest(Custom()) and base != digest(Custom(2))
    hooked = Custom()
    hooked.register_forward_hook(lambda m, i, o: o + 1)
    assert base != digest(hooked)
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 3.0)
    assert base != digest(Custom())
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 2.0)
    assert base == digest(Custom())
    monkeypatch.setattr(sys.modules[__name__], "gain", lambda: FACTOR + 0)
    assert base != digest(Custom())
    assert digest(Preprocess()) != digest(Preprocess(std=(1, 1, 1)))
    assert digest(torch.zeros(2)) != digest(torch.zeros(2, dtype=torch.float64)) != digest(torch.zeros(2, 1))
    assert digest([1, 2], 3) != digest([1], 2, 3) and digest(True) != digest(1) != digest(1.0)
    with pytest.raises(TypeError, match="record without store"):
        digest(k for k in range(3))


def test_using_a_model_does_not_change_its_digest():
    """Our modules build masks on first use, and some lie in dictionaries of their files."""
    display = npc.Display.from_px_per_deg(8, resolution_px=(64, 64))
    x = torch.rand(1, 1, 64, 64)
    for make in (
        lambda scaling: npc.metamers.EnergyModel(display, scaling=scaling),
        lambda scaling: npc.foveation.FoveatedBlur(display, e2_deg=2 + scaling),
    ):
        model = make(0.5)
        before = digest(model)
        model(x)
        model(x.double())
        assert digest(model) == before == digest(make(0.5)) != digest(make(0.6))


def test_sparse_weights_have_a_digest():
    eye = torch.eye(3).to_sparse()
    assert digest(eye) == digest(torch.eye(3).to_sparse()) != digest(2 * eye)


def test_a_lazy_result_is_checked_piece_by_piece(tmp_path, monkeypatch):
    sizes, plain = [], store.LazyColumns._read

    def read(self, key):
        out = plain(self, key)
        sizes.append(out.size)
        return out

    monkeypatch.setattr(store.LazyColumns, "_read", read)
    monkeypatch.setattr(responses, "_ROWS", 1000)
    x = torch.rand(8, 3, 16, 16)
    lazy = record(nn.Identity(), x, preprocess=None, encoding="linear", store=tmp_path, memory_bytes=10)
    responses.check_responses(lazy)
    assert len(sizes) == 8 and max(sizes) == 768


def test_the_digest_is_the_same_in_another_process():
    script = (
        "import torch; from neuroperc import nets; from neuroperc.recording.identity import digest; "
        "net = nets.load('squeezenet1_1', weights=None, random_state=1); print(digest(net, {'a', 'b', 'c'}))"
    )
    seeded = os.environ | {"PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=seeded)
    net = nets.load("squeezenet1_1", weights=None, random_state=1)
    assert done.stdout.strip() == digest(net, {"a", "b", "c"})


MEMORY = textwrap.dedent(
    """
    import sys
    import numpy as np, torch
    import neuroperc as npc
    from neuroperc import nets
    from neuroperc.data import StimulusSet, sample_image
    from neuroperc.recording import record

    folder, times, budget = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    stimuli = StimulusSet.load(f"{folder}/set{times}")
    net = nets.efficientnet_lite0(preprocess={"size_px": 64, "resize_px": None})
    got = record(net, stimuli, "blocks.0", store=f"{folder}/store{times}", batch_size=16, memory_bytes=budget)
    last = got[-1].values.sum()
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    peak = int(status["VmHWM"].split()[0]) * 1024  # of this process alone; ru_maxrss begins with its parent's
    print(peak, got.nbytes, float(last))
    """
)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads peak memory from /proc")
def test_memory_stays_flat_however_many_stimuli(tmp_path):
    """Ten times as many pictures, on disk, whose answers are ten times the budget: the peak does not follow."""
    row, n = 16384 * 4, 320
    budget, peaks = row * n, {}
    # glibc gives what is freed back at once: else the peak also counts what its arenas have kept, 10 MB on one machine
    # and 16 on another.
    returning = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    base = crops(32).numpy()
    for times in (1, 10):
        pixels = np.concatenate([np.roll(base, k, -1) for k in range(n * times // 32)])
        shown(pixels).save(tmp_path / f"set{times}")
        # The small set streams too, so that both runs do the same.
        command = [sys.executable, "-c", MEMORY, str(tmp_path), str(times), str(budget if times > 1 else row)]
        done = subprocess.run(command, capture_output=True, text=True, env=returning)
        assert done.returncode == 0, done.stderr[-2000:]
        peaks[times], size, _ = map(float, done.stdout.split())
        assert size == budget * times
    assert peaks[10] - peaks[1] < budget / 2, peaks


@pytest.mark.parametrize("odd", [None, [["a"]], [[0, 2, None]], {"0": 1}, [[0, 2]]])
def test_a_manifest_that_says_something_odd_is_made_again(tmp_path, odd):
    pixels, net = torch.rand(4, 3, 8, 8), nn.Conv2d(3, 2, 3)
    first = record(net, shown(pixels), preprocess=None, store=tmp_path / "store")
    (manifest,) = (tmp_path / "store").glob("*/manifest.json")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"batches": odd}))
    again = record(net, shown(pixels), preprocess=None, store=tmp_path / "store")
    assert np.array_equal(first.values, again.values) and json.loads(manifest.read_text())["batches"][0][:2] == [0, 4]
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="store must be a folder"):
        record(net, shown(pixels), preprocess=None, store=tmp_path / "file")
