"""The two-stage motion model against its equations written out in loops, its published sizes and layout."""

import math

import numpy as np
import torch

from neuroperc.motion import MotionSensing, TwoStageMotion
from neuroperc.motion.flow.decoding import ConvexUpsampler, bilinear
from neuroperc.motion.flow.graph import MotionGraph, placed_code, position_code, propagate
from neuroperc.motion.flow.published import renamed


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_sizes_are_the_published_ones():
    with torch.device("meta"):
        parts = MotionGraph(256)
    model = TwoStageMotion()
    assert n_parameters(model.stage1) == 3331
    assert n_parameters(parts) == n_parameters(model.stage2) == 11_474_690
    assert n_parameters(model.decoder) == 110_754
    assert n_parameters(model.upsampler) == 2_512_448
    assert n_parameters(model) == 14_101_223


def test_size_with_both_paths_is_the_published_one():
    model = TwoStageMotion(higher_order=True)
    assert n_parameters(model.features.units) == 3843
    assert n_parameters(model) == 25_557_516


def shrink(picture, ratio):
    """Bilinear, places at (i + 0.5) / ratio - 0.5, floor(ratio n) of them, the border repeated."""
    out = np.zeros([math.floor(n * ratio) for n in picture.shape])
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            y, x = max((i + 0.5) / ratio - 0.5, 0), max((j + 0.5) / ratio - 0.5, 0)
            y0, x0 = int(y), int(x)
            for yy, wy in ((y0, 1 - (y - y0)), (y0 + 1, y - y0)):
                for xx, wx in ((x0, 1 - (x - x0)), (x0 + 1, x - x0)):
                    out[i, j] += wy * wx * picture[min(yy, picture.shape[0] - 1), min(xx, picture.shape[1] - 1)]
    return out


def stretch(picture, size):
    """Bilinear, corners on corners."""
    out = np.zeros(size)
    for i in range(size[0]):
        for j in range(size[1]):
            y = i * (picture.shape[0] - 1) / (size[0] - 1)
            x = j * (picture.shape[1] - 1) / (size[1] - 1)
            y0, x0 = min(int(y), picture.shape[0] - 1), min(int(x), picture.shape[1] - 1)
            y1, x1 = min(y0 + 1, picture.shape[0] - 1), min(x0 + 1, picture.shape[1] - 1)
            top = (1 - x + x0) * picture[y0, x0] + (x - x0) * picture[y0, x1]
            bottom = (1 - x + x0) * picture[y1, x0] + (x - x0) * picture[y1, x1]
            out[i, j] = (1 - y + y0) * top + (y - y0) * bottom
    return out


def sigmoid(p):
    return 1 / (1 + math.exp(-p))


def convolve(picture, kernel):
    """Convolution with zeros outside: the kernel is turned by half a turn."""
    r = kernel.shape[0] // 2
    padded, turned = np.pad(picture, r), kernel[::-1, ::-1]
    out = np.zeros_like(picture)
    for i in range(picture.shape[0]):
        for j in range(picture.shape[1]):
            out[i, j] = (padded[i : i + 2 * r + 1, j : j + 2 * r + 1] * turned).sum()
    return out


def gabor(p, scale, unit):
    """The quadrature pair of one unit, from its raw parameters."""
    f = 0.25 * sigmoid(p["sf"][scale, unit])
    theta = 2 * math.pi * sigmoid(p["theta"][scale, unit])
    sd = sigmoid(p["sd"][scale, unit]) * math.sqrt(36 * 0.5 / math.log(2))
    gamma = abs(p["aspect"][scale, unit])
    pair = np.zeros((2, 15, 15))
    for row in range(15):
        for column in range(15):
            x, y = column - 7, row - 7
            along, across = x * math.cos(theta) + y * math.sin(theta), -x * math.sin(theta) + y * math.cos(theta)
            envelope = math.exp(-0.5 * (along**2 / sd**2 + across**2 * gamma**2 / sd**2))
            pair[0, row, column] = envelope * math.cos(2 * math.pi * f * along)
            pair[1, row, column] = envelope * math.sin(2 * math.pi * f * along)
    return [k - k.mean() for k in pair]


def unit_energy(frames, p, scale, unit):
    """Pooled energy of one unit at one scale: frames (11, h, w)."""
    cos_sin = [np.stack([convolve(frame, kernel) for frame in frames]) for kernel in gabor(p, scale, unit)]
    w = 0.25 * sigmoid(p["tf"][scale, unit])
    tau = sigmoid(p["tau"][scale, unit]) * 6 / math.log(5)
    pooled = np.zeros(frames.shape[1:])
    for out in range(6):
        even, odd = np.zeros(frames.shape[1:]), np.zeros(frames.shape[1:])
        for t in range(6):
            c, s = (r[out + 5 - t] for r in cos_sin)
            kc = math.exp(-t / tau) * math.cos(2 * math.pi * w * t)
            ks = math.exp(-t / tau) * math.sin(2 * math.pi * w * t)
            odd += c * ks + s * kc
            even += c * kc - s * ks
        pooled += p["pooling"][scale, unit, out] * (odd**2 + even**2 + p["spontaneous"] ** 2) / 6
    return abs(pooled)


def test_stage_one_is_section_4_2_written_out():
    torch.manual_seed(0)
    sensing = MotionSensing(n_units=2, rng=5).double()
    with torch.no_grad():
        for parameter in sensing.parameters():
            if parameter.requires_grad:
                parameter.mul_(1 + 0.1 * torch.randn_like(parameter))
    movie = torch.rand(1, 11, 1, 48, 56, dtype=torch.float64)
    p = {name: value.detach().numpy() for name, value in sensing.named_parameters()}
    frames, maps, ratio = movie[0, :, 0].numpy(), [], 16 ** (-1 / 7)
    for scale in range(8):
        frames = np.stack([shrink(frame, ratio) for frame in frames])
        maps += [stretch(unit_energy(frames, p, scale, unit), (6, 7)) for unit in range(2)]
    energy = np.stack(maps)
    wanted = abs(p["gain"]) * energy / (energy.mean(0) + p["semisaturation"] ** 2)
    np.testing.assert_allclose(sensing(movie)[0].detach().numpy(), wanted, rtol=1e-9)


def test_messages_follow_the_graph():
    rng = np.random.default_rng(0)
    points, sent = rng.normal(size=(7, 4)), rng.normal(size=(7, 3))
    unit, t = points / np.linalg.norm(points, axis=1, keepdims=True), 3.7
    a = np.array([[math.exp(t * float(u @ v)) for u in unit] for v in unit])
    a /= a.max()
    degree = a.sum(1)
    wanted = np.zeros((7, 3))
    for i in range(7):
        for j in range(7):
            wanted[i] += a[i, j] / math.sqrt(degree[i] * degree[j]) * sent[j]
    args = torch.from_numpy(unit)[None], torch.from_numpy(sent)[None], torch.full((1, 1, 1), t, dtype=torch.float64)
    np.testing.assert_allclose(propagate(*args, 100)[0].numpy(), wanted, rtol=2e-5)


def test_one_iteration_is_section_4_3_written_out():
    graph = MotionGraph(8).double()
    torch.manual_seed(1)
    value, attention = (torch.randn(1, 8, 3, 4, dtype=torch.float64) for _ in range(2))
    w = {name: p.detach() for name, p in graph.named_parameters()}
    x, a = (m[0].flatten(1).T for m in (value, attention))

    def norm(v, name):
        v = v - v.mean(1, keepdim=True)
        return v / (v.square().mean(1, keepdim=True) + 1e-5).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]

    def gelu(v):
        return v * 0.5 * (1 + torch.erf(v / math.sqrt(2)))

    def conv(v, name):
        k = w[f"{name}.weight"]
        pad = (k.shape[2] // 2, k.shape[3] // 2)
        return torch.nn.functional.conv2d(v, k, w[f"{name}.bias"], padding=pad)

    def gru(h, m, name):
        for i in range(2):
            hx = torch.cat([h, m], 1)
            z, r = torch.sigmoid(conv(hx, f"{name}.update.{i}")), torch.sigmoid(conv(hx, f"{name}.reset.{i}"))
            h = (1 - z) * h + z * torch.tanh(conv(torch.cat([r * h, m], 1), f"{name}.candidate.{i}"))
        return h

    def maps(v):
        return v.T.reshape(1, -1, 3, 4)

    p = torch.relu(a @ w["project.0.weight"].T) @ w["project.2.weight"].T
    cosine = (p @ p.T) / (p.norm(dim=1)[:, None] * p.norm(dim=1))
    adjacency = torch.exp((1 + 3 * math.pi * torch.sigmoid(p.mean())) * cosine)
    adjacency /= adjacency.max()
    d = adjacency.sum(1).rsqrt()
    m = (d[:, None] * adjacency * d) @ (x @ w["send.weight"].T)
    m = norm(m @ w["merge.weight"].T, "merge_norm")
    hidden = gelu(torch.cat([x, m], 1) @ w["mix.0.weight"].T)
    m = norm(gelu(hidden @ w["mix.2.weight"].T) @ w["mix.4.weight"].T, "mix_norm")
    drive = torch.cat([attention, maps(norm(m @ w["attention_message.weight"].T, "attention_norm"))], 1)
    for i in (0, 2, 4):
        drive = gelu(conv(drive, f"attention_mix.{i}"))
    new_value, new_attention = graph(value, attention)
    torch.testing.assert_close(new_value, gru(value, maps(m), "value_gru"), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(new_attention, gru(attention, drive, "attention_gru"), rtol=1e-5, atol=1e-7)
    z = gelu(x @ w["read.0.weight"].T + w["read.0.bias"]) @ w["read.2.weight"].T + w["read.2.bias"]
    wanted = 1.8 * z.square() / (z.square().mean() + 1)
    torch.testing.assert_close(graph.energy(value), maps(wanted))


def test_attention_starts_from_energy_and_a_code_of_the_position():
    energy = torch.rand(2, 8, 3, 5, dtype=torch.float64)
    code = np.zeros((8, 3, 5))
    for k in range(4):
        for i in range(3):
            for j in range(5):
                wave = math.sin if k % 2 == 0 else math.cos
                period = 1e4 ** (2 * (k // 2) / 4)
                code[k, i, j] = wave(2 * math.pi * (i + 1) / 3 / period)
                code[4 + k, i, j] = wave(2 * math.pi * (j + 1) / 5 / period)
    np.testing.assert_allclose(position_code(energy).numpy(), code, atol=2e-5)
    for clip, start in zip(energy.numpy(), placed_code(energy).numpy(), strict=True):
        size = abs(clip).mean()
        wanted = clip + 0.45 * math.pi * size * code / code.mean()
        np.testing.assert_allclose(start, wanted * size / abs(wanted).mean(), atol=1e-4)


def test_upsampling_is_a_weighted_mean_of_nine_cells():
    upsampler = ConvexUpsampler(4, 2, "zero").double()
    flow, attention = torch.randn(1, 2, 3, 4, dtype=torch.float64), torch.randn(1, 4, 3, 4, dtype=torch.float64)
    logits = upsampler.weights(torch.cat([flow, attention], 1)).detach().numpy()[0].reshape(9, 2, 2, 3, 4)
    share = np.exp(logits) / np.exp(logits).sum(0)
    padded, wanted = np.pad(2 * flow[0].numpy(), ((0, 0), (1, 1), (1, 1))), np.zeros((2, 6, 8))
    for y in range(6):
        for x in range(8):
            for n in range(9):
                cell = padded[:, y // 2 + n // 3, x // 2 + n % 3]
                wanted[:, y, x] += share[n, y % 2, x % 2, y // 2, x // 2] * cell
    np.testing.assert_allclose(upsampler(flow, attention)[0].detach().numpy(), wanted)
    corners = bilinear(flow, 2)[0, :, ::5, ::7].numpy()
    np.testing.assert_allclose(corners, 2 * flow[0, :, ::2, ::3].numpy())


def their_layout(c, n_scales, n_units):
    """Names and shapes of the authors' first-order model, from their code."""
    spatial, temporal = ("sigmas", "fs", "gammas", "psis", "thetas"), ("ft", "tao")
    shapes = {"ffv1.temporal_pooling": (c, 6)}
    shapes |= {f"ffv1.{name}": (1, 1) for name in ("norm_sigma", "spontaneous_firing", "norm_k")}
    for i in range(n_scales):
        shapes |= {f"ffv1.spatial_filter.{i}.{name}": (1, n_units) for name in spatial}
        shapes |= {f"ffv1.temporal_filter.{i}.{name}": (1, n_units) for name in temporal}
        shapes |= {f"ffv1.spatial_filter.{i}.indices": (15,), f"ffv1.temporal_filter.{i}.indices": (6,)}
    return shapes | their_graph(c) | their_readout(c)


def their_graph(c):
    """Names and shapes of Stage II."""
    shapes, layer = {"MT.norm_sigma": (), "MT.norm_k": ()}, "MT.layers"
    linear = ("att_proj.0", "att_proj.2", "v_proj", "merge", "attn_updater.proj")
    shapes |= {f"{layer}.{name}.weight": (c, c) for name in linear}
    for name in ("norm1", "norm2", "attn_updater.norm"):
        shapes |= {f"{layer}.{name}.weight": (c,), f"{layer}.{name}.bias": (c,)}
    for i, size in ((0, (4 * c, 2 * c)), (2, (4 * c, 4 * c)), (4, (c, 4 * c))):
        shapes[f"{layer}.mlp.{i}.weight"] = size
    for gru in ("gru", "attn_updater.gru"):
        for gate in ("convz", "convr", "convq"):
            for i, k in ((1, (1, 5)), (2, (5, 1))):
                shapes |= {f"{layer}.{gru}.{gate}{i}.weight": (c, 2 * c, *k), f"{layer}.{gru}.{gate}{i}.bias": (c,)}
    for i, size in ((0, (c, 2 * c, 1, 1)), (2, (c, c, 3, 3)), (4, (c, c, 3, 3))):
        shapes |= {f"{layer}.attn_updater.conv.{i}.weight": size, f"{layer}.attn_updater.conv.{i}.bias": (c,)}
    for i in (0, 2):
        shapes |= {f"MT.re_proj.{i}.weight": (c, c), f"MT.re_proj.{i}.bias": (c,)}
    return shapes


def their_readout(c):
    """Names and shapes of decoder and upsampling."""
    shapes, widths = {}, (c, c, c // 2, c // 4, c // 8)
    for i in range(4):
        shapes |= {f"decoder.conv{i + 1}.0.weight": (widths[i + 1], widths[i], 1, 1)}
        shapes |= {f"decoder.conv{i + 1}.0.bias": (widths[i + 1],)}
    shapes |= {"decoder.predict_flow.0.weight": (2, widths[3] + widths[4], 3, 3), "decoder.predict_flow.0.bias": (2,)}
    for i, (a, b) in ((0, (2 + c, c)), (2, (c, c)), (4, (c, 576))):
        shapes |= {f"upsampler.{i}.weight": (b, a, 3, 3), f"upsampler.{i}.bias": (b,)}
    return shapes


def their_second_path(c):
    """Names and shapes of the higher-order path."""
    w, shapes = (c // 8, c // 4, c // 2, c), {"ffv2.0.basic_encoder.conv1.weight": (c // 8, 3, 3, 7, 7)}
    for layer, blocks in enumerate((1, 2, 2, 2)):
        for block in range(blocks):
            before = w[max(layer - 1, 0)] if block == 0 else w[layer]
            at = f"ffv2.0.basic_encoder.layer{layer + 1}.{block}"
            shapes[f"{at}.conv1.weight"] = (w[layer], before, 3, 3, 3)
            shapes[f"{at}.conv2.weight"] = (w[layer], w[layer], 3, 3, 3)
            if before != w[layer]:
                shapes[f"{at}.downsample.0.weight"] = (w[layer], before, 1, 1, 1)
    shapes |= {"ffv2.0.re_projection.0.weight": (c, c, 3, 3, 3), "ffv2.0.re_projection.0.bias": (c,)}
    scalars = ("0.norm_sigma", "0.norm_k", "1.norm_sigma", "1.norm_k", "1.spontaneous_firing")
    units = ("spatial_filter.sigmas", "spatial_filter.fs", "spatial_filter.gammas", "spatial_filter.psis")
    units += ("spatial_filter.thetas", "temporal_filter.ft", "temporal_filter.tao")
    shapes |= {f"ffv2.{name}": (1, 1) for name in scalars} | {f"ffv2.1.{name}": (1, c) for name in units}
    shapes |= {"ffv2.1.spatial_filter.indices": (15,), "ffv2.1.temporal_filter.indices": (8,)}
    shapes |= {"ffv2.1.temporal_pooling": (c, 8)}
    return shapes | {"fuse.0.weight": (2 * c, 2 * c, 1, 1), "fuse.2.weight": (c, 2 * c, 3, 3)}


def their_file(c, n_scales, n_units, second=False):
    """A state dict of that layout, filled with noise."""
    rng = np.random.default_rng(0)
    shapes = their_layout(c, n_scales, n_units) | (their_second_path(c) if second else {})
    return {name: torch.from_numpy(rng.normal(size=size)).float() for name, size in shapes.items()}


def test_published_layout_finds_its_places():
    model = TwoStageMotion(n_scales=2, n_units=8)
    theirs = their_file(16, 2, 8)
    ours = renamed({f"module.{name}": value for name, value in theirs.items()}, model)
    assert {n: v.shape for n, v in ours.items()} == {n: v.shape for n, v in model.state_dict().items()}
    same = {
        "ffv1.spatial_filter.1.thetas": ours["stage1.theta"][1],
        "ffv1.spatial_filter.0.fs": ours["stage1.sf"][0],
        "ffv1.temporal_filter.1.tao": ours["stage1.tau"][1],
        "ffv1.temporal_pooling": ours["stage1.pooling"].reshape(16, 6),
        "ffv1.norm_sigma": ours["stage1.semisaturation"],
        "MT.layers.gru.convq2.weight": ours["stage2.value_gru.candidate.1.weight"],
        "MT.layers.attn_updater.gru.convz1.bias": ours["stage2.attention_gru.update.0.bias"],
        "MT.layers.norm2.weight": ours["stage2.mix_norm.weight"],
        "MT.norm_k": ours["stage2.gain"],
        "decoder.predict_flow.0.bias": ours["decoder.flow.bias"],
        "upsampler.4.weight": ours["upsampler.weights.4.weight"],
    }
    for name, value in same.items():
        torch.testing.assert_close(value.flatten(), theirs[name].flatten(), rtol=0, atol=0)


def test_published_second_path_finds_its_places():
    model = TwoStageMotion(n_scales=2, n_units=8, higher_order=True)
    theirs = their_file(16, 2, 8, second=True)
    ours = renamed(dict(theirs), model)
    assert {n: v.shape for n, v in ours.items()} == {n: v.shape for n, v in model.state_dict().items()}
    same = {
        "ffv2.1.spatial_filter.gammas": "features.units.aspect",
        "ffv2.1.norm_k": "features.units.gain",
        "ffv2.0.norm_k": "features.gain",
        "ffv2.0.basic_encoder.layer3.0.downsample.0.weight": "features.blocks.3.shortcut.weight",
        "ffv2.0.basic_encoder.layer4.1.conv2.weight": "features.blocks.6.second.weight",
        "fuse.2.weight": "fuse.2.weight",
    }
    for name, mine in same.items():
        torch.testing.assert_close(ours[mine].flatten(), theirs[name].flatten(), rtol=0, atol=0)


def test_a_file_of_the_published_layout_is_read(tmp_path):
    theirs = their_file(256, 8, 32)
    torch.save({"state_dict": {f"module.{name}": value for name, value in theirs.items()}}, tmp_path / "dual.pth")
    model = TwoStageMotion.from_published(tmp_path / "dual.pth", n_iterations=2)
    assert model.features is None
    direction = model.stage1.units()["direction_deg"].to_numpy().reshape(8, 32)
    wanted = (180 - 360 * theirs["ffv1.spatial_filter.3.thetas"].double().sigmoid()[0].numpy()) % 360
    np.testing.assert_allclose(direction[3], wanted)
