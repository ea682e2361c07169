#!/usr/bin/python3
"""Performance peer: a careful eager-PyTorch Switch Transformer (T5 v1.0 style) training step on CPU.

  peer_torch.py --config small|tiny [--dense] [--bf16] [--threads 2] [--procs 1|2] [--steps 5] [--opt adam|none]
                [--compile] [--profile]
Dispatch is gather by index with a fixed capacity, experts are one batched GEMM pair, permutation backward is a gather
(no index_add). --procs 2 runs expert parallelism (gloo all_to_all_single) and all-reduces dense gradients, 1 thread each.
Where this PyTorch has torch._grouped_mm for this machine and precision, the experts' products go through it, over the
rows that are really there. --compile trains what torch.compile makes of the model.
Prints model FLOPs by formula, seconds for forward+backward and for the optimizer, tokens/s and GFLOP/s, and this run's
2048^3 GEMM rates. Timings: median over --steps after 2 warm-up steps. Tokens = encoder + decoder positions.
"""
import argparse, functools, os, statistics, time
import torch, torch.nn as nn, torch.nn.functional as F
import torch.distributed as dist

CONFIGS = {"small": dict(D=512, F=2048, H=8, K=64, L=6, E=8, V=32128, B=8, S=512, T=114),
           "tiny": dict(D=256, F=1024, H=4, K=64, L=4, E=8, V=8000, B=16, S=256, T=58)}
CF = 1.25
CAPACITY = None     # a number sets an absolute capacity


def flops(c):
    """Useful model FLOPs of one fwd+bwd step: 6 * params * positions for every GEMM + 12 * nq * nk * H*K per attention
    (no causal discount); router, capacity padding, embedding lookup, elementwise and optimizer not counted."""
    D, Fd, I, L, B, S, T = c["D"], c["F"], c["H"] * c["K"], c["L"], c["B"], c["S"], c["T"]
    enc = 6 * L * (4 * D * I + 2 * D * Fd) * B * S
    dec = 6 * L * (4 * D * I + 2 * D * I + 2 * D * Fd) * B * T + 6 * L * 2 * D * I * B * S
    attn = 12 * L * B * I * (S * S + T * T + T * S)
    return enc + dec + attn + 6 * D * c["V"] * B * T


def gemm_rate(n=2048):
    r = {}
    # Without the instructions a bf16 product of this size takes minutes.
    types = [("f32", torch.float32)] + [("bf16", torch.bfloat16)] * torch.ops.mkldnn._is_mkldnn_bf16_supported()
    for name, dt in types:
        a, b = torch.randn(n, n).to(dt), torch.randn(n, n).to(dt)
        best = 9.0
        for _ in range(8):
            t = time.perf_counter(); a @ b; best = min(best, time.perf_counter() - t)
        r[name] = 2 * n ** 3 / best / 1e9
    return {"bf16": float("nan"), **r}


@functools.cache
def has_grouped_mm(dt):
    """Whether torch._grouped_mm multiplies such matrices here, forward and backward."""
    if not hasattr(torch, "_grouped_mm"):
        return False
    try:
        a = torch.ones(32, 16, dtype=dt, requires_grad=True)
        b = torch.ones(2, 16, 16, dtype=dt, requires_grad=True)
        torch._grouped_mm(a, b, offs=torch.tensor([16, 32], dtype=torch.int32)).backward(torch.ones(32, 16, dtype=dt))
        return True
    except (RuntimeError, NotImplementedError, TypeError):
        return False


class RMS(nn.Module):
    def __init__(s, d):
        super().__init__(); s.w = nn.Parameter(torch.ones(d))

    def forward(s, x):
        return RMSFn.apply(x, s.w)


class RMSFn(torch.autograd.Function):       # one saved tensor, 3 passes instead of autograd's 7
    @staticmethod
    def forward(ctx, x, w):
        r = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(1e-6).rsqrt_()
        ctx.save_for_backward(x, w, r)
        return (x * r).mul_(w)

    @staticmethod
    def backward(ctx, g):
        x, w, r = ctx.saved_tensors
        xn = x * r
        dw = (g * xn).flatten(0, -2).sum(0)
        gw = g * w
        m = (gw * xn).mean(-1, keepdim=True)
        return gw.sub_(xn.mul_(m)).mul_(r), dw


class Permute(torch.autograd.Function):     # out[i] = x[idx[i]] (row len(x) = zeros); back is the inverse index
    @staticmethod
    def forward(ctx, x, idx, back):
        ctx.save_for_backward(back)
        return torch.cat([x, x.new_zeros(1, x.shape[1])]).index_select(0, idx)

    @staticmethod
    def backward(ctx, g):
        back, = ctx.saved_tensors
        return torch.cat([g, g.new_zeros(1, g.shape[1])]).index_select(0, back), None, None


class AllToAll(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        o = torch.empty_like(x)
        v = (lambda t: t.view(torch.float16)) if x.dtype == torch.bfloat16 else (lambda t: t)   # gloo has no bf16
        dist.all_to_all_single(v(o), v(x))
        return o

    @staticmethod
    def backward(ctx, g):
        return AllToAll.forward(ctx, g.contiguous())


def linear(i, o, s):
    m = nn.Linear(i, o, bias=False); nn.init.normal_(m.weight, std=s); return m


class Dense(nn.Module):
    def __init__(s, c):
        super().__init__(); s.wi, s.wo = linear(c["D"], c["F"], c["D"] ** -.5), linear(c["F"], c["D"], c["F"] ** -.5)

    def forward(s, x):
        return s.wo(F.relu(s.wi(x), inplace=True)), 0.


class MoE(nn.Module):
    def __init__(s, c, world):
        super().__init__()
        s.E, s.W, n = c["E"], world, c["E"] // world
        s.router = linear(c["D"], c["E"], .02)
        s.wi = nn.Parameter(torch.randn(n, c["D"], c["F"]) * c["D"] ** -.5)
        s.wo = nn.Parameter(torch.randn(n, c["F"], c["D"]) * c["F"] ** -.5)

    def forward(s, x):
        shape, x = x.shape, x.flatten(0, -2)
        N, E = x.shape[0], s.E
        C = CAPACITY or max(4, int(N * CF / E))
        with torch.autocast("cpu", enabled=False):
            p = F.softmax(x.float() @ s.router.weight.t(), -1)
        gate, e = p.max(-1)
        with torch.no_grad():
            one = F.one_hot(e, E)
            slot = one.cumsum(0).gather(1, e[:, None])[:, 0] - 1
            keep = slot < C
            tok2slot = torch.where(keep, e * C + slot, E * C)
            slot2tok = torch.full((E * C + 1,), N)
            slot2tok[tok2slot] = torch.arange(N)
            slot2tok = slot2tok[:E * C]
        aux = E * (one.float().mean(0) * p.mean(0)).sum()
        low = torch.is_autocast_cpu_enabled()
        if s.W == 1 and has_grouped_mm(torch.bfloat16 if low else torch.float32):
            return (s.grouped(x.bfloat16() if low else x, e, keep) * gate[:, None]).view(shape), aux
        h = Permute.apply(x.bfloat16() if low else x, slot2tok, tok2slot)
        if s.W > 1:     # [W dst, E/W, C, D] -> [W src, E/W, C, D] -> [E/W, W*C, D]
            h = AllToAll.apply(h).view(s.W, E // s.W, C, -1).transpose(0, 1).reshape(E // s.W, s.W * C, -1)
        h = torch.bmm(F.relu(torch.bmm(h.view(E // s.W, s.W * C, -1), s.wi), inplace=True), s.wo)
        if s.W > 1:
            h = AllToAll.apply(h.view(E // s.W, s.W, C, -1).transpose(0, 1).reshape(E * C, -1))
        y = Permute.apply(h.reshape(E * C, -1), tok2slot, slot2tok) * gate[:, None]
        return y.view(shape), aux


    def grouped(s, x, e, keep):     # rows sorted by expert, without padding
        with torch.no_grad():
            rows = torch.argsort(torch.where(keep, e, s.E), stable=True)[:int(keep.sum())]
            tok2row = torch.full((len(x) + 1,), len(rows))
            tok2row[rows] = torch.arange(len(rows))
            ends = torch.bincount(e[keep], minlength=s.E).cumsum(0).int()
        w = (lambda t: t.to(x.dtype))
        h = Permute.apply(x, rows, tok2row[:-1])
        h = torch._grouped_mm(F.relu(torch._grouped_mm(h, w(s.wi), offs=ends), inplace=True), w(s.wo), offs=ends)
        return Permute.apply(h, tok2row[:-1], rows)


def bucket(rel, bidir):
    n, add, nb = -rel, 0, 32
    if bidir:
        nb = 16; add = (n < 0).long() * nb; n = n.abs()
    else:
        n = n.clamp(min=0)
    ex = nb // 2
    big = ex + (torch.log(n.float().clamp(min=1) / ex) / torch.log(torch.tensor(128. / ex)) * (nb - ex)).long()
    return add + torch.where(n < ex, n, big.clamp(max=nb - 1))


class Attn(nn.Module):
    def __init__(s, c, cross):
        super().__init__()
        D, s.H, s.K, s.cross = c["D"], c["H"], c["K"], cross
        I = s.H * s.K
        s.q = linear(D, I, (D * s.K) ** -.5) if cross else None
        s.kv = linear(D, 2 * I if cross else 3 * I, D ** -.5)
        if not cross:
            s.kv.weight.data[:I] *= s.K ** -.5
        s.o = linear(I, D, I ** -.5)

    def forward(s, x, mem=None, bias=None):
        B, n = x.shape[:2]
        split = lambda t: t.view(B, -1, s.H, s.K).transpose(1, 2).reshape(B * s.H, -1, s.K)
        if s.cross:
            k, v = map(split, s.kv(mem).chunk(2, -1)); q = split(s.q(x))
        else:
            q, k, v = map(split, s.kv(x).chunk(3, -1))
        a = torch.bmm(q, k.transpose(1, 2))
        if bias is not None:
            a = (a.view(B, s.H, n, -1) + bias.to(a.dtype)).view(B * s.H, n, -1)
        a = torch.bmm(F.softmax(a, -1), v)
        return s.o(a.view(B, s.H, n, s.K).transpose(1, 2).reshape(B, n, -1))


class Stack(nn.Module):
    def __init__(s, c, dec, sparse, world):
        super().__init__()
        s.dec, s.rel = dec, nn.Parameter(torch.randn(32, c["H"]) * .1)
        ff = [MoE(c, world) if sparse and i % 2 == 1 else Dense(c) for i in range(c["L"])]
        s.layers = nn.ModuleList(nn.ModuleList(
            [RMS(c["D"]), Attn(c, False)] + ([RMS(c["D"]), Attn(c, True)] if dec else []) + [RMS(c["D"]), f]) for f in ff)
        s.norm = RMS(c["D"])
        n = c["T"] if dec else c["S"]
        r = torch.arange(n)[None] - torch.arange(n)[:, None]
        s.register_buffer("bk", bucket(r, not dec))
        s.register_buffer("causal", torch.full((n, n), -1e9).triu(1) if dec else None)

    def forward(s, x, mem=None):
        bias = s.rel[s.bk].permute(2, 0, 1).contiguous()
        if s.dec:
            bias = bias + s.causal
        aux = 0.
        for l in s.layers:
            x = x + l[1](l[0](x), bias=bias)
            if s.dec:
                x = x + l[3](l[2](x), mem=mem)
            y, a = l[-1](l[-2](x))
            x, aux = x + y, aux + a
        return s.norm(x), aux


class Model(nn.Module):
    def __init__(s, c, sparse, world):
        super().__init__()
        s.c, s.emb = c, nn.Parameter(torch.randn(c["V"], c["D"]))
        s.enc, s.dec = Stack(c, False, sparse, world), Stack(c, True, sparse, world)

    def forward(s, src, tgt):
        e, a1 = s.enc(F.embedding(src, s.emb))
        d, a2 = s.dec(F.embedding(F.pad(tgt[:, :-1], (1, 0)), s.emb), mem=e)
        z = F.linear(d * s.c["D"] ** -.5, s.emb)
        return F.cross_entropy(z.float().flatten(0, 1), tgt.flatten()), a1 + a2


def worker(rank, a):
    W, c = a.procs, dict(CONFIGS[a.config])
    torch.set_num_threads(a.threads)
    if W > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29517")
        dist.init_process_group("gloo", rank=rank, world_size=W)
    total = flops(c)
    tokens = c["B"] * (c["S"] + c["T"])
    torch.manual_seed(0)
    c["B"] //= W
    model = Model(c, not a.dense, W)
    expert = [p for n, p in model.named_parameters() if n.endswith(("wi", "wo")) and p.dim() == 3]
    dense = [p for p in model.parameters() if not any(p is q for q in expert)]
    opt = torch.optim.Adam(model.parameters(), lr=1e-4, foreach=True) if a.opt == "adam" else None
    forward = torch.compile(model) if a.compile else model
    g = torch.Generator().manual_seed(rank)
    src = torch.randint(2, c["V"], (c["B"], c["S"]), generator=g)
    tgt = torch.randint(2, c["V"], (c["B"], c["T"]), generator=g)
    rate = gemm_rate()
    tf, tr, to = [], [], []

    def step():
        t0 = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.bf16):
            ce, aux = forward(src, tgt)
            loss = (ce + .01 * aux) / W
        loss.backward()
        t1 = time.perf_counter()
        if W > 1:
            flat = torch.cat([p.grad.view(-1) for p in dense])
            dist.all_reduce(flat)
            for p, q in zip(dense, flat.split([p.numel() for p in dense])):
                p.grad.copy_(q.view_as(p))
        t2 = time.perf_counter()
        if opt:
            opt.step()
        model.zero_grad(set_to_none=True)
        t3 = time.perf_counter()
        tf.append(t1 - t0); tr.append(t2 - t1); to.append(t3 - t2)
        return float(ce)

    first = step(); step()
    del tf[:], tr[:], to[:]
    for _ in range(a.steps):
        last = step()
    if rank == 0:
        f, r, o = map(statistics.median, (tf, tr, to))
        gf, peak = total / (f + r) / 1e9, rate["bf16" if a.bf16 else "f32"] * W
        print(f"peer_torch {a.config} {'dense' if a.dense else 'sparse'} {'bf16' if a.bf16 else 'f32'} {W}x{a.threads} "
              f"params {sum(p.numel() for p in model.parameters())/1e6:.1f}M(rank) GFLOP/step {total/1e9:.1f} "
              f"fwd+bwd {f:.3f}s [min {min(tf):.3f}] allreduce {r:.3f}s opt({a.opt}) {o:.3f}s | "
              f"tok/s fwd+bwd {tokens/(f+r):.0f} with opt {tokens/(f+r+o):.0f} | {gf:.1f} GF/s | gemm f32 {rate['f32']*W:.0f} "
              f"bf16 {rate['bf16']*W:.0f} | frac {gf/peak:.3f} | loss {first:.3f}->{last:.3f}", flush=True)
    if a.profile:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as prof:
            step()
        if rank == 0:
            print(prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=22, max_name_column_width=44))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--config", default="tiny", choices=CONFIGS)
    ap.add_argument("--dense", action="store_true"); ap.add_argument("--bf16", action="store_true")
    ap.add_argument("--threads", type=int, default=2); ap.add_argument("--procs", type=int, default=1)
    ap.add_argument("--steps", type=int, default=5); ap.add_argument("--opt", default="adam", choices=("adam", "none"))
    ap.add_argument("--compile", action="store_true"); ap.add_argument("--profile", action="store_true")
    a = ap.parse_args()
    if a.procs == 1:
        worker(0, a)
    else:
        torch.multiprocessing.spawn(worker, (a,), nprocs=a.procs)


if __name__ == "__main__":
    main()
