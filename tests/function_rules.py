"""A plug-in whose rules are Python functions."""

from __future__ import annotations

from signxai_core.registry import RuleEntry, hookimpl
from signxai_core.specs import NEGATIVE, POSITIVE, FunctionRule


def epsilon(context, *, epsilon):
    """The epsilon rule, written out."""
    arrays = context.arrays
    t = context.relevance / (context.z + arrays.sign(context.z) * epsilon)
    return tuple(x * pulled for x, pulled in zip(context.x, context.pull(t), strict=True))


def stronger(context, *, power):
    """Contributions of both signs, shared out by their totals to a power: no cells can say this."""
    arrays, x = context.arrays, context.x
    plus = [arrays.maximum(v, 0.0) for v in x]
    minus = [arrays.minimum(v, 0.0) for v in x]
    up = context.forward(plus, POSITIVE) + context.forward(minus, NEGATIVE) + arrays.maximum(context.bias(), 0.0)
    down = arrays.abs(context.forward(plus, NEGATIVE) + context.forward(minus, POSITIVE) + context.bias(NEGATIVE))
    weight = arrays.divide(up**power, up**power + down**power)
    ups = arrays.divide(weight * context.relevance, up)
    downs = arrays.where(down > 0, -arrays.divide((1 - weight) * context.relevance, down), 0.0)
    parts = zip(
        plus,
        minus,
        context.pull(ups, POSITIVE),
        context.pull(ups, NEGATIVE),
        context.pull(downs, NEGATIVE),
        context.pull(downs, POSITIVE),
        strict=True,
    )
    return tuple(p * (a + c) + m * (b + d) for p, m, a, b, c, d in parts)


def wrong(context):
    """Forgets the inputs' shape."""
    return context.relevance


def make_epsilon(epsilon=0.1):
    return FunctionRule("function_rules:epsilon", {"epsilon": epsilon}, name="written_epsilon")


def make_stronger(power=2.0):
    return FunctionRule("function_rules:stronger", {"power": power}, name="stronger")


@hookimpl
def signxai_rules():
    return [
        RuleEntry(name="written_epsilon", factory="function_rules:make_epsilon", reference="tests"),
        RuleEntry(name="stronger", factory="function_rules:make_stronger", reference="tests", example={"power": 2.0}),
    ]


def halves(context):
    """Half of the relevance for each operand, by its contribution."""
    assert (context.kind, context.function) == ("product", "mul")
    (again,) = context.apply(context.x)
    t = context.arrays.divide(context.relevance, again)
    return tuple(x * pulled * 0.5 for x, pulled in zip(context.x, context.vjp([t]), strict=True))


def _raiser(error):
    def function(context):
        raise error("something of the plugin's own")

    return function


raises_key_error, raises_type_error = _raiser(KeyError), _raiser(TypeError)
raises_recursion_error, raises_overflow_error = _raiser(RecursionError), _raiser(OverflowError)
