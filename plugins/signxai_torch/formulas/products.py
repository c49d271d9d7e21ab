"""Products, mixtures and sums that PyTorch has one function for, as the operations that they are made of."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Live = Callable[[Tensor], bool]


def _times(x: Tensor, factor: float) -> Tensor:
    return x if factor == 1 else x * factor


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """A tensor plus a product."""
    return input + _times(tensor1 * tensor2, value)


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """A tensor plus a quotient."""
    return input + _times(tensor1 / tensor2, value)


def lerp(input: Tensor, end: Tensor, weight: Any) -> Any:
    """A mixture of two tensors."""
    return input * (1 - weight) + end * weight


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1, live: Live) -> Any:
    """A tensor plus a matrix product; a dense layer with its bias stays one."""
    if beta == alpha == 1 and live(mat1) and not live(mat2) and not live(input):
        return NotImplemented
    return _times(input, beta) + _times(mat1 @ mat2, alpha)


def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Any:
    """A tensor plus a batch of matrix products; with ``beta`` 0 the tensor's numbers count for nothing."""
    product = _times(batch1 @ batch2, alpha)
    return product if beta == 0 else _times(input, beta) + product


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A dense layer whose weight or bias depends on the input."""
    product = input @ weight.mT if weight.dim() > 1 else input @ weight
    return product if bias is None else product + bias


def _convolution(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """Return the formula of a convolution whose weight or bias depends on the input: the product and the bias."""

    def run(input: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any) -> Any:
        """A convolution plus a bias."""
        if bias is None:
            return NotImplemented
        return function(input, weight, None, *args, **kwargs) + bias.reshape(-1, *[1] * (input.dim() - 2))

    return run


CONVOLUTIONS = {
    f"conv{kind}{n}d": _convolution(getattr(functional, f"conv{kind}{n}d"))
    for kind in ("", "_transpose")
    for n in (1, 2, 3)
}


def rmatmul(input: Tensor, other: Any) -> Any:
    """A matrix product whose second operand is a tensor, and whose first is none."""
    return torch.matmul(torch.as_tensor(other).to(input), input)


def multi_dot(tensors: Sequence[Tensor], *, out: None = None) -> Tensor:
    """Matrix products one after the other."""
    return functools.reduce(torch.matmul, tensors)


def chain_matmul(*matrices: Tensor) -> Tensor:
    """Matrix products one after the other."""
    return functools.reduce(torch.matmul, matrices)


def inner(input: Tensor, other: Tensor) -> Any:
    """Sums of products along the last axes."""
    return NotImplemented if 0 in (input.dim(), other.dim()) else tensordot(input, other, ([-1], [-1]))


def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: None = None) -> Any:
    """Sums of products along given axes."""
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    pairs = (range(a.dim() - dims, a.dim()), range(dims)) if isinstance(dims, int) else dims
    first, second = ([axis % x.dim() for axis in axes] for axes, x in zip(pairs, (a, b), strict=True))
    if first == [a.dim() - 1] and second == [0] and b.dim() == 2:
        return a @ b
    letters = list(range(a.dim() + b.dim()))
    left, right = letters[: a.dim()], letters[a.dim() :]
    for one, other in zip(first, second, strict=True):
        right[other] = left[one]
    kept = [letter for letter in letters if (letter in left) != (letter in right)]
    return torch.einsum(_equation([left, right], kept), a, b)


def _equation(terms: Sequence[Sequence[int]], result: Sequence[int]) -> str:
    """Return an equation of ``einsum`` with letters for numbers."""
    return ",".join(map(_letters, terms)) + "->" + _letters(result)


def _letters(numbers: Sequence[int]) -> str:
    return "".join(chr(ord("a") + number) for number in numbers)


def einsum(equation: Any, *operands: Any) -> Any:
    """``einsum`` of one tensor as a sum and a permutation, and of more than two pair by pair."""
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if not isinstance(equation, str) or len(operands) == 2 or "." in equation:
        return NotImplemented
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow:
        result = "".join(sorted(letter for letter in set(left) - {","} if left.count(letter) == 1))
    if any(len(set(term)) < len(term) for term in terms):
        return NotImplemented
    if len(operands) == 1:
        return _reordered(operands[0], terms[0], result)
    return _pairwise(list(operands), terms, result)


def _reordered(x: Tensor, term: str, result: str) -> Tensor:
    """Return sums over the axes that the result does not have, the others in its order."""
    summed = tuple(place for place, letter in enumerate(term) if letter not in result)
    kept = [letter for letter in term if letter in result]
    x = x.sum(summed) if summed else x
    order = [kept.index(letter) for letter in result]
    return x if order == sorted(order) else x.permute(order)


def _pairwise(operands: list[Tensor], terms: list[str], result: str) -> Tensor:
    while len(operands) > 2:
        needed = set(result).union(*terms[2:])
        term = "".join(dict.fromkeys(letter for letter in terms[0] + terms[1] if letter in needed))
        operands[:2] = [torch.einsum(f"{terms[0]},{terms[1]}->{term}", operands[0], operands[1])]
        terms[:2] = [term]
    return torch.einsum(f"{terms[0]},{terms[1]}->{result}", *operands)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A product of a dense layer of one tensor with another tensor, summed."""
    mixed = torch.einsum("...i,oij->...oj", input1, weight)
    product = (mixed * input2.unsqueeze(-2)).sum(-1)
    return product if bias is None else product + bias
