"""Code for the compiler that its own language has no words for: sums of vectors, in registers.

numba and LLVM are imported only where something is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

_FUSED = ("contract",)  # a product and its sum may be rounded once


def telling(
    sums: Callable[..., None], parts: Sequence[Callable[..., None]], *, pixels: int, width: int
) -> Callable[[], None]:
    """What tells the compiler of functions that a loop calls: `parts`, and `sums` as vectors.

    sums: `narrow_network._sums`.
    """

    def tell() -> None:
        from numba.extending import overload, register_jitable

        for part in parts:
            register_jitable(part)
        emit = _vectors(pixels, width)

        @overload(sums, strict=False)
        def _(*kinds: object) -> object:
            return _called(emit)

    return tell


def _called(emit: Any) -> Callable[..., None]:  # noqa: ANN401
    def made(
        arena: object,
        here: object,
        offsets: Any,  # noqa: ANN401
        weights: object,
        kernel: object,
        biases: object,
        bias: object,
        to: object,
    ) -> None:
        emit(arena, here, offsets, len(offsets), weights, kernel, biases, bias, to)

    return made


def _vectors(pixels: int, width: int) -> Any:  # noqa: ANN401
    """`narrow_network._sums` as code: `width` sums of each of `pixels` neighbouring pixels.

    (arena, here, offsets, how many, weights, kernel, biases, bias, to), all numbers int64.
    """
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic
    from numba.np import arrayobj

    number, count = ir.FloatType(), ir.IntType(64)
    vector = ir.VectorType(number, width)
    first = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)

    def constant(value: int) -> ir.Constant:
        return ir.Constant(count, value)

    def place(builder: Any, start: Any, at: Any) -> Any:  # noqa: ANN401
        return builder.bitcast(builder.gep(start, [at]), vector.as_pointer())

    def read(builder: Any, start: Any, at: Any) -> Any:  # noqa: ANN401
        found = builder.load(place(builder, start, at))
        found.align = 4
        return found

    def everywhere(builder: Any, value: Any) -> Any:  # noqa: ANN401
        """A number in all places of a vector."""
        nothing = ir.Constant(vector, ir.Undefined)
        alone = builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(alone, nothing, first)

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:  # noqa: ANN401
        arena, offsets, weights, biases = (
            arrayobj.make_array(signature.args[i])(context, builder, given[i]).data
            for i in (0, 2, 4, 6)
        )
        here, many, kernel, bias, to = (given[i] for i in (1, 3, 5, 7, 8))
        start, base = read(builder, biases, bias), builder.gep(arena, [here])
        before = builder.block
        loop, after = (builder.append_basic_block(name) for name in ("sum", "summed"))
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(count)
        k.add_incoming(constant(0), before)
        held = [builder.phi(vector) for _ in range(pixels)]
        for total in held:
            total.add_incoming(start, before)
        there = builder.gep(base, [builder.load(builder.gep(offsets, [k]))])
        step = builder.mul(k, constant(3 * width))
        row = builder.gep(weights, [builder.add(kernel, step)])
        columns = [read(builder, row, constant(width * i)) for i in range(3)]
        totals: list[Any] = list(held)
        for pixel in range(-1, pixels + 1):
            value = builder.load(builder.gep(there, [constant(width * pixel)]))
            value = everywhere(builder, value)
            for column, factor in enumerate(columns):
                at = pixel + 1 - column
                if 0 <= at < pixels:
                    product = builder.fmul(value, factor, flags=_FUSED)
                    totals[at] = builder.fadd(product, totals[at], flags=_FUSED)
        following = builder.add(k, constant(1))
        k.add_incoming(following, loop)
        for total, new in zip(held, totals, strict=True):
            total.add_incoming(new, loop)
        builder.cbranch(builder.icmp_signed("<", following, many), loop, after)
        builder.position_at_end(after)
        zero = ir.Constant(vector, [0.0] * width)
        for pixel, total in enumerate(totals):
            more = builder.fcmp_ordered(">", total, zero)
            into = place(builder, arena, builder.add(to, constant(width * pixel)))
            builder.store(builder.select(more, total, zero), into).align = 4
        return context.get_dummy_value()

    @intrinsic
    def sums(
        typing: object,
        arena: Any,  # noqa: ANN401
        here: object,
        offsets: Any,  # noqa: ANN401
        many: object,
        weights: Any,  # noqa: ANN401
        kernel: object,
        biases: Any,  # noqa: ANN401
        bias: object,
        to: object,
    ) -> Any:  # noqa: ANN401
        places = types.int64
        told = arena, places, offsets, places, weights, places, biases, places, places
        return types.void(*told), generate

    return sums
