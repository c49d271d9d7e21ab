"""Backends that lie: PyTorch's, each with one mistake that a backend author could make."""

from __future__ import annotations

import attrs
import torch

from signxai_torch.backend import TorchBackend


class Garbage(TorchBackend):
    """Relevance of the right shape that has nothing to do with the model, and mixes samples."""

    def pull(self, operation, weight, relevance):
        return tuple(torch.sin(1e3 * (one + one.sum())) for one in super().pull(operation, weight, relevance))


class MixesMany(TorchBackend):
    """Several arrays come back in another order."""

    def pull_many(self, operation, weight, relevances):
        return super().pull_many(operation, weight, relevances)[::-1]


class IgnoresPadding(TorchBackend):
    """A convolution's pull that takes the gradient of the padded input for that of the input."""

    def pull(self, operation, weight, relevance):
        pulled = super().pull(operation, weight, relevance)
        layout = getattr(operation.call, "layout", None)
        padding = layout.convolution[1] if layout is not None and layout.convolution else []
        if not any(padding):
            return pulled
        axes = tuple(range(2, 2 + len(padding)))
        return tuple(torch.roll(one, tuple(padding), axes) for one in pulled)


class ScaledVjp(TorchBackend):
    """Derivatives that are a millionth too large."""

    def vjp(self, operation, cotangents):
        return tuple(one * (1 + 1e-6) for one in super().vjp(operation, cotangents))


class SampleStd(TorchBackend):
    """PyTorch's own default: n − 1 in the denominator."""

    def std(self, a, axis):
        return torch.std(a, dim=axis, keepdim=True)


class WrongMinimum(TorchBackend):
    """Minimum with a number returns the negated maximum of the negated array: right. With 0 only."""

    def minimum(self, a, b):
        return -torch.relu(a) if isinstance(b, float) and b == 0 else super().minimum(a, b)


class Recording(TorchBackend):
    """Changes what was recorded."""

    def record(self, model, x):
        recording = super().record(model, x)
        return attrs.evolve(recording, operations=tuple(self.changed(one) for one in recording.operations))

    def changed(self, operation):
        return operation


class DropsBias(Recording):
    """Convolutions and dense layers are recorded without their bias."""

    def changed(self, operation):
        if operation.kind not in ("dense", "convolution"):
            return operation
        return attrs.evolve(
            operation, parameters={key: value for key, value in operation.parameters.items() if key != "bias"}
        )


class WrongKind(Recording):
    """Average pooling passes for a shape operation, so that no rule reaches it."""

    def changed(self, operation):
        return attrs.evolve(operation, kind="shape") if operation.kind == "average_pooling" else operation


class NoPaths(Recording):
    """Layers have no names."""

    def changed(self, operation):
        return attrs.evolve(operation, path="")


class LastWinner(TorchBackend):
    """Max-pooling gives to the last of equals; without ties it is right."""

    def vjp(self, operation, cotangents):
        if operation.kind != "max_pooling":
            return super().vjp(operation, cotangents)
        (x,) = operation.call.local_inputs
        nudged = (x.detach() + 1e-9 * torch.arange(x.numel(), dtype=x.dtype).reshape(x.shape)).requires_grad_()
        (y,) = operation.call.outputs_of(operation.call.recorded([nudged]))
        return torch.autograd.grad(y, nudged, cotangents[0])


class OtherSample(TorchBackend):
    """Every sample gets the relevance of its neighbour."""

    def pull(self, operation, weight, relevance):
        return tuple(torch.roll(one, 1, 0) for one in super().pull(operation, weight, relevance))


class BatchStd(TorchBackend):
    """The deviation over the whole batch, as the published reference package takes it."""

    def std(self, a, axis):
        return torch.std(a, correction=0).expand(a.shape[0], 1) if axis == 1 else super().std(a, axis)


class TouchesModel(TorchBackend):
    """Every run moves a weight by one unit in the last place."""

    def record(self, model, x):
        recording = super().record(model, x)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.nextafter(parameter, torch.tensor(torch.inf, dtype=parameter.dtype)))
        return recording


class WritesIntoRecording(TorchBackend):
    """Linear forms are computed in place of the recorded input."""

    def linear(self, operation, inputs, weight):
        output = super().linear(operation, inputs, weight)
        for tensor in operation.call.local_inputs:
            tensor.detach().mul_(2)
        return output


class Unfinished(TorchBackend):
    """No derivative of pooling yet."""

    def vjp(self, operation, cotangents):
        if operation.kind == "max_pooling":
            raise NotImplementedError("max-pooling")
        return super().vjp(operation, cotangents)


class AcceptsIntegers(TorchBackend):
    """Integers are silently made floats."""

    def prepare(self, model, x):
        return super().prepare(model, torch.as_tensor(x).double())
