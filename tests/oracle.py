"""An oracle for LRP: relevance as input times the gradient of a rewritten network.

Where every rule hands on R_i = x_i · Jᵀ(R / y) with epsilon 0, relevance is x · c everywhere, with one c per tensor,
and c follows the chain rule of a network with the same values in which some factors are held constant:

=========================  ============================================================================
linear operations, sums    as they are, biases included
activation f(x)            x · constant f(x)/x
gate · signal              the gate is constant; in the chain ``attn`` each factor gets half of the gradient
product of two activations each factor gets half of the gradient; in ``cp`` SwiGLU's activation is constant
normalisation              its denominator is constant
attention                  the probabilities are constant; in ``attn`` products halve, softmax is as it is
=========================  ============================================================================

Softmax: R_i = x_i (R_i − s_i Σ_j R_j) with R_j = s_j c_j is x_i times softmax's own gradient of c.

Every network is written out here a second time, with nothing from the library.
"""

from __future__ import annotations

import modern_nets as nets
import torch
from torch.nn import functional as F

# --- the rewritten operations ---


def activation(function, x):
    """Return f(x) as x · constant."""
    return x * (function(x) / x).detach()


def halves(product, a, b):
    """Return a bilinear function of two operands, of which each gets half of the gradient."""
    return (product(a, b.detach()) + product(a.detach(), b)) / 2


def gated(chain, signal, gate):
    """Return signal · gate."""
    return halves(torch.mul, signal, gate) if chain == "attn" else signal * gate.detach()


def normalise(x, axes, eps, *, centred=True):
    """Return x, its mean taken away, by a constant deviation (or root mean square)."""
    x = x - x.mean(axes, keepdim=True) if centred else x
    return x / (x.square().mean(axes, keepdim=True) + eps).sqrt().detach()


def layer_norm(norm, x):
    """Return a layer norm over the last axis, with the module's constants."""
    return normalise(x, -1, norm.eps) * norm.weight + norm.bias


def group_norm(x, groups, weight, bias, eps):
    """Return a group norm of images; with as many groups as channels, an instance norm."""
    shape = (1, -1, *(1 for _ in x.shape[2:]))
    y = normalise(x.reshape(len(x), groups, -1), -1, eps).reshape(x.shape)
    return y * weight.reshape(shape) + bias.reshape(shape)


def attention(chain, q, k, v, mask=0.0):
    """Return softmax(q kᵀ / √d + mask) v over the last two axes."""

    def scores(q, k):
        return q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5

    if chain != "attn":
        return (scores(q, k) + mask).softmax(-1).detach() @ v
    return halves(torch.matmul, (halves(scores, q, k) + mask).softmax(-1), v)


def split_heads(x, heads):
    """Return (samples, heads, tokens, width per head)."""
    n, t, d = x.shape
    return x.reshape(n, t, heads, d // heads).transpose(1, 2)


def join_heads(x):
    """Return (samples, tokens, width)."""
    return x.transpose(1, 2).flatten(2)


# --- the rewritten networks ---


def squeeze_excite(net, x, chain):
    y = activation(torch.relu, net.stem(x))
    scale = activation(torch.relu, net.fc1(y.mean((2, 3), keepdim=True)))
    y = gated(chain, y, activation(net.gate, net.fc2(scale))) + y
    return net.head(activation(torch.relu, net.conv(y)).mean((2, 3)))


def vision_transformer(net, x, chain):
    y = net.patches(x).flatten(2).transpose(1, 2)
    y = torch.cat([net.token.expand(len(x), -1, -1), y], dim=1) + net.positions
    inside = layer_norm(net.norm1, y)
    if net.fused:
        part, heads, out = net.attention, net.attention.num_heads, net.attention.out_proj
        projected = F.linear(inside, part.in_proj_weight, part.in_proj_bias)
    else:
        projected, heads, out = net.attention.qkv(inside), net.attention.heads, net.attention.proj
    q, k, v = (split_heads(part, heads) for part in projected.chunk(3, dim=-1))
    y = y + out(join_heads(attention(chain, q, k, v)))
    y = y + net.mlp[2](activation(F.gelu, net.mlp[0](layer_norm(net.norm2, y))))
    return net.head(layer_norm(net.norm, y)[:, 0])


def llama(net, x, chain):
    def norm(part, x):
        return normalise(x, -1, 1e-6, centred=False) * part.weight

    inside = norm(net.norm1, x)
    q, k, v = (split_heads(part(inside), net.heads) for part in (net.q, net.k, net.v))
    cos, sin = nets.rotary(q.shape[2], q.shape[3])
    q, k = q * cos + nets.rotate(q) * sin, k * cos + nets.rotate(k) * sin
    mask = torch.full((x.shape[1],) * 2, -torch.inf, dtype=x.dtype).triu(1)
    x = x + net.o(join_heads(attention(chain, q, k, v, mask)))
    inside = norm(net.norm2, x)
    gate, up = activation(F.silu, net.gate(inside)), net.up(inside)
    x = x + net.down(gate.detach() * up if chain == "cp" else halves(torch.mul, gate, up))
    return net.head(norm(net.norm, x)[:, -1])


def conv_next(net, x, chain):
    x = layer_norm(net.norm0, net.stem(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    y = layer_norm(net.norm1, net.depthwise(x).permute(0, 2, 3, 1))
    y = net.scale * net.fc2(activation(F.gelu, net.fc1(y)))
    return net.head(layer_norm(net.norm2, (x + y.permute(0, 3, 1, 2)).mean((2, 3))))


def group_normed(net, x, chain):
    def norm(part, groups, x):
        return group_norm(x, groups, part.weight, part.bias, part.eps)

    y = activation(torch.relu, norm(net.norm1, 2, net.conv1(x)))
    y = activation(torch.relu, norm(net.norm2, 6, net.conv2(y)) + y)
    return net.head(F.max_pool2d(y, 2).mean((2, 3)))


def lstm_step(chain, a, r, state):
    h, c = state
    i, f, g, o = (a + r).chunk(4, dim=-1)
    i, f, o = (activation(torch.sigmoid, part) for part in (i, f, o))
    c = gated(chain, c, f) + gated(chain, activation(torch.tanh, g), i)
    return gated(chain, activation(torch.tanh, c), o), c


def gru_step(chain, a, r, state):
    (a_r, a_z, a_n), (r_r, r_z, r_n) = a.chunk(3, dim=-1), r.chunk(3, dim=-1)
    reset, update = activation(torch.sigmoid, a_r + r_r), activation(torch.sigmoid, a_z + r_z)
    new = activation(torch.tanh, a_n + gated(chain, r_n, reset))
    return (gated(chain, new, 1 - update) + gated(chain, state[0], update),)


def rnn_step(chain, a, r, state):
    return (activation(torch.tanh, a + r),)


STEPS = {"LSTM": lstm_step, "GRU": gru_step, "RNN_TANH": rnn_step}


def run_direction(cell, x, chain, suffix, order):
    """Return the hidden states of one direction of one layer, in the order of the input."""
    names = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
    w, b, u, d = (getattr(cell, f"{name}_{suffix}") for name in names)
    h = x.new_zeros(len(x), cell.hidden_size)
    state = (h, h) if cell.mode == "LSTM" else (h,)
    hidden = {}
    for t in order:
        state = STEPS[cell.mode](chain, F.linear(x[:, t], w, b), F.linear(state[0], u, d), state)
        hidden[t] = state[0]
    return torch.stack([hidden[t] for t in sorted(hidden)], dim=1)


def recurrent(net, x, chain):
    forwards = range(x.shape[1])
    for layer in range(net.cell.num_layers):
        both = ((f"l{layer}", forwards), (f"l{layer}_reverse", reversed(forwards)))
        x = torch.cat([run_direction(net.cell, x, chain, *direction) for direction in both], dim=-1)
    return net.head(x[:, -1] if net.last else x.mean(1))


REWRITTEN = {
    nets.SqueezeExcite: squeeze_excite,
    nets.VisionTransformer: vision_transformer,
    nets.Llama: llama,
    nets.ConvNeXt: conv_next,
    nets.GroupNormed: group_normed,
    nets.Recurrent: recurrent,
}


def relevance(net, x, chain="default"):
    """Return the relevance of each sample's largest logit, and the logits."""
    given = torch.tensor(x, requires_grad=True)
    logits = REWRITTEN[type(net)](net, given, chain)
    (c,) = torch.autograd.grad(logits.max(dim=1).values.sum(), given)
    return (given * c).detach().numpy(), logits.detach().numpy()
