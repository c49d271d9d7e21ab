"""LSTM, GRU and plain recurrent layers, step by step.

Per layer, direction and step: ``W x`` and ``U h`` for all gates at once, two products without bias, their
sum, and one addition of both biases. A first state is recorded as if it were given with the input, so that
the first step is the same formula as every other; it is a constant 0, which relevance never reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.nn import functional

#: What a cell keeps: the state that is handed on, and what else it remembers.
State = tuple[Tensor, ...]


@attrs.frozen(kw_only=True)
class _Weights:
    """Parameters of one layer in one direction."""

    input: Tensor
    state: Tensor
    input_bias: Tensor | None = None
    state_bias: Tensor | None = None
    projection: Tensor | None = None

    def bias(self) -> Tensor | None:
        """Return the sum of both biases."""
        return None if self.input_bias is None or self.state_bias is None else self.input_bias + self.state_bias


_Step = Callable[[Tensor, State, _Weights], State]


def _gates(x: Tensor, h: Tensor, weights: _Weights) -> Tensor:
    """Return ``W x + U h + b``."""
    total = functional.linear(x, weights.input) + functional.linear(h, weights.state)
    bias = weights.bias()
    return total if bias is None else total + bias


def _lstm_step(x: Tensor, state: State, weights: _Weights) -> State:
    h, c = state
    i, f, g, o = _gates(x, h, weights).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return (h if weights.projection is None else functional.linear(h, weights.projection)), c


def _gru_step(x: Tensor, state: State, weights: _Weights) -> State:
    (h,) = state
    width = weights.state.shape[1]
    sizes = [2 * width, width]
    gates, candidate = functional.linear(x, weights.input).split_with_sizes(sizes, -1)
    bias, own = weights.bias(), weights.input_bias
    inner = None if weights.state_bias is None else weights.state_bias[2 * width :]
    gates_before, before = functional.linear(h, weights.state).split_with_sizes(sizes, -1)
    gates = gates + gates_before
    inner = before if inner is None else before + inner
    if bias is not None and own is not None:
        gates, candidate = gates + bias[: 2 * width], candidate + own[2 * width :]
    reset, update = gates.sigmoid().chunk(2, -1)
    new = (candidate + reset * inner).tanh()
    return ((1 - update) * new + update * h,)


def _rnn_step(x: Tensor, state: State, weights: _Weights, activation: Callable[[Tensor], Tensor]) -> State:
    return (activation(_gates(x, state[0], weights)),)


def _tanh_step(x: Tensor, state: State, weights: _Weights) -> State:
    return _rnn_step(x, state, weights, torch.tanh)


def _relu_step(x: Tensor, state: State, weights: _Weights) -> State:
    return _rnn_step(x, state, weights, torch.relu)


def _direction(
    inputs: Sequence[Tensor], start: State, weights: _Weights, step: _Step, *, sizes: Sequence[int] | None, back: bool
) -> tuple[list[Tensor], State]:
    """Return the outputs of all steps, in the order of time, and the last state.

    ``sizes`` are the numbers of sequences that are still running at each step, where these differ.
    """
    times = list(range(len(inputs)))[:: -1 if back else 1]
    state = start if sizes is None else tuple(s[: sizes[times[0]]] for s in start)
    outputs: dict[int, Tensor] = {}
    ended: list[State] = []
    for time in times:
        if sizes is not None:
            state, rest = _resized(state, start, sizes[time])
            ended += [rest] if rest else []
        state = step(inputs[time], state, weights)
        outputs[time] = state[0]
    if ended:
        parts = [state, *reversed(ended)]
        state = tuple(torch.cat([part[place] for part in parts]) for place in range(len(start)))
    return [outputs[time] for time in range(len(inputs))], state


def _resized(state: State, start: State, size: int) -> tuple[State, State]:
    """Return the state of ``size`` sequences, and that of those which have ended."""
    known = state[0].shape[0]
    if known > size:
        return tuple(s[:size] for s in state), tuple(s[size:] for s in state)
    if known == size:
        return state, ()
    return tuple(torch.cat([now, first[known:size]]) for now, first in zip(state, start, strict=True)), ()


@attrs.frozen(kw_only=True)
class _Arguments:
    """Arguments of ``torch.lstm`` and its kin, packed (sequences one in the other) or not."""

    inputs: Sequence[Tensor]
    starts: tuple[Tensor, ...]
    weights: tuple[_Weights, ...]
    directions: int
    sizes: list[int] | None
    time_axis: int


def _read(args: tuple[Any, ...]) -> _Arguments:
    packed = not isinstance(args[3], bool)
    x, states, flat = args[0], args[2 if packed else 1], args[3 if packed else 2]
    has_biases, layers, _, _, bidirectional = args[4:9] if packed else args[3:8]
    directions = 2 if bidirectional else 1
    time_axis = 1 if not packed and args[8] else 0
    sizes = [int(size) for size in args[1].tolist()] if packed else None
    return _Arguments(
        inputs=x.unbind(time_axis) if sizes is None else x.split(sizes),
        starts=tuple(states) if isinstance(states, (tuple, list)) else (states,),
        weights=tuple(_weights(flat, layers * directions, has_biases=has_biases)),
        directions=directions,
        sizes=sizes,
        time_axis=time_axis,
    )


def _weights(flat: Sequence[Tensor], cells: int, *, has_biases: bool) -> list[_Weights]:
    """Return the parameters cell by cell: weights, biases where there are any, projection where there is one."""
    names = ["input", "state", *(("input_bias", "state_bias") if has_biases else ()), "projection"]
    count = len(flat) // cells
    return [_Weights(**dict(zip(names, flat[at : at + count], strict=False))) for at in range(0, len(flat), count)]


def _start(state: Tensor, x: Tensor, live: Callable[[Tensor], bool]) -> Tensor:
    """Return a first state as a tensor that depends on the input; a constant one adds nothing to that but itself."""
    if live(state):
        return state
    nothing = x[..., :1].masked_fill(torch.ones_like(x[..., :1], dtype=torch.bool), 0.0)
    zeros = nothing.expand(*nothing.shape[:-1], state.shape[-1])
    return zeros + state if bool((state != 0).any()) else zeros


def _layers(args: tuple[Any, ...], step: _Step, live: Callable[[Tensor], bool]) -> tuple[Tensor, ...]:
    """Return the outputs of the last layer, and the last states of all layers."""
    given = _read(args)
    x = given.inputs[0]
    starts = [tuple(_start(state[cell], x, live) for state in given.starts) for cell in range(len(given.weights))]
    inputs, ends = given.inputs, []
    for first in range(0, len(given.weights), given.directions):
        both = []
        for cell in range(first, first + given.directions):
            outputs, end = _direction(
                inputs, starts[cell], given.weights[cell], step, sizes=given.sizes, back=cell > first
            )
            both.append(outputs)
            ends.append(end)
        inputs = both[0] if given.directions == 1 else [torch.cat(pair, -1) for pair in zip(*both, strict=True)]
    together = torch.stack(list(inputs), given.time_axis) if given.sizes is None else torch.cat(list(inputs))
    return together, *(torch.stack([end[place] for end in ends]) for place in range(len(given.starts)))


def lstm(*args: Any, live: Callable[[Tensor], bool]) -> tuple[Tensor, ...]:
    """Long short-term memory."""
    return _layers(args, _lstm_step, live)


def gru(*args: Any, live: Callable[[Tensor], bool]) -> tuple[Tensor, ...]:
    """Gated recurrent units, with the reset behind the product with the state."""
    return _layers(args, _gru_step, live)


def rnn_tanh(*args: Any, live: Callable[[Tensor], bool]) -> tuple[Tensor, ...]:
    """Recurrent layers with tanh."""
    return _layers(args, _tanh_step, live)


def rnn_relu(*args: Any, live: Callable[[Tensor], bool]) -> tuple[Tensor, ...]:
    """Recurrent layers with ReLU."""
    return _layers(args, _relu_step, live)


def _cell(step: _Step) -> Callable[..., Any]:
    """Return the formula of one step, with PyTorch's order of arguments."""

    def run(
        input: Tensor,
        hx: Any,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None = None,
        b_hh: Tensor | None = None,
        *,
        live: Callable[[Tensor], bool],
    ) -> Any:
        states = tuple(hx) if isinstance(hx, (tuple, list)) else (hx,)
        weights = _Weights(input=w_ih, state=w_hh, input_bias=b_ih, state_bias=b_hh)
        end = step(input, tuple(_start(state, input, live) for state in states), weights)
        return end if isinstance(hx, (tuple, list)) else end[0]

    return run


lstm_cell = _cell(_lstm_step)
gru_cell = _cell(_gru_step)
rnn_tanh_cell = _cell(_tanh_step)
rnn_relu_cell = _cell(_relu_step)
