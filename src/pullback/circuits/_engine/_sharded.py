"""State vectors over many devices: 2^g of them hold 2^(n−g) amplitudes each.

A bit of an amplitude's index sits at a position: those below l = n − g are bits of the place in a device's part, the
others are bits of the device's number; before and after a circuit these are the highest ones, the first g qubits. Gates
on local positions need no communication, and neither do controls and phases on any. One exchange (all-to-all) swaps the
g global positions with the g highest local ones: for a layer of gates on all qubits one is enough. SWAP only renames
positions. No table has as many entries as a state.

The kernels are those of one device with functions instead of tables, and the derivative rule is the same, on each
device's part: cotangents of matrices are summed over devices because matrices are the same on all of them.
"""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from pullback.circuits._engine._evolve import cast, through
from pullback.circuits._engine._expansion import Act
from pullback.circuits._engine._kernels import Dense, Pair
from pullback.circuits._engine._keys import PAIR, Key, Sort
from pullback.circuits._engine._lower import collect, flips_of, one_by_one
from pullback.circuits._engine._schedule import Segment, Source, act_of, key_of, ordered, proved, recipes_of, stretches
from pullback.circuits._engine._sharded_tables import AXIS, Brought, Places, Tabled, flip, indices, locals_on, moved
from pullback.circuits._engine._sharded_walk import stands_for
from pullback.circuits._input import at_least_single
from pullback.circuits._program import Program
from pullback.core import InputError
from pullback.operators import flipped, mean_jvp

_SHORT = 64  # items that are compiled one by one; longer stretches that do not repeat are refused


@lru_cache(maxsize=32)
def sharded_schedule(program: Program, g: int) -> tuple[Segment, ...]:
    """The segments of a program on 2^g devices; amplitudes are in their order before and after it.

    Raises:
        InputError: evolutions without a matrix; a long stretch without repetition; a gate on too many qubits.
    """
    segments = proved(program, partial(_schedule, g=g), partial(stands_for, g=g))
    return _plain(program, g) if segments is None else segments


def _schedule(program, g):
    steps, items = collect(program)
    ids: dict[tuple, int] = {}
    word = np.array([ids.setdefault(item.signature(steps), len(ids)) for item in items], int)
    segments: list[Segment] = []
    for start, period, count in stretches(word):
        if count == 1 and period > _SHORT:
            raise InputError(
                f"circuits: {period} steps do not repeat; on many devices up to {_SHORT} are possible. Write the "
                "circuit with layers."
            )
        segments.append(_segment(program, steps, items[start : start + period * count], period, count, g))
    return tuple(segments)


def _plain(program, g):
    """The schedule without repetitions, in the order of the program."""
    steps, items = one_by_one(program)
    return (_segment(program, steps, items, len(items), 1, g),) if items else ()


def _segment(program, steps, part, period, count, g) -> Segment:
    n = program.n
    places = Places(range(n), n - g, g)
    kernels, sources, acts, used = [], [], [], {}
    for item in part[:period]:
        places = _lowered(steps, item, places, kernels, sources, acts, used)
    moves = places.rearranged(tuple(range(n)))
    if moves:
        kernels.append(moved(moves, g))
        sources.append(Source(PAIR))
    members: dict[Key, list] = {}
    for item in part:
        if item.sort != Sort.PERMUTATION:
            members.setdefault(key_of(steps, item), []).extend(ordered(item))
    return Segment(kernels, sources, count, recipes_of(program, steps, members), {}, acts)


def _lowered(steps, item, places: Places, kernels, sources, acts, used) -> Places:
    """Appends the kernels of an item and what they stand for; the places after it."""
    local = places.local

    def add(kernel, source):
        kernels.append(kernel)
        sources.append(source)

    def flipped_by(step, named):
        acts.append(Act(None, 0, tuple((f.masks, ()) for f in flips_of(step)), named))

    def bring(mask: int):
        moves, new = places.brought([b for b in range(len(places.where)) if mask >> b & 1])
        if moves:
            add(moved(moves, places.g), Source(PAIR))
        return new

    if item.sort == Sort.PERMUTATION:
        for member in item.members.values():
            step = steps[member.chain[0][0]]
            if len(step.targets) == 2:
                a, b = step.targets
                flipped_by(step, True)
                places = places.swapped(places.where[a], places.where[b])
                continue
            bit = 1 << step.targets[0]
            flipped_by(step, False)
            places = bring(bit)
            add(flip(places.masks(step.masks._replace(x=bit)), local), Source(PAIR))
        return places
    members = ordered(item)
    acts.append(act_of(steps, item, used))
    key, first, step = acts[-1].key, acts[-1].first, steps[members[0].chain[0][0]]
    match item.sort:
        case Sort.LOCAL:
            kernel, places = locals_on(sorted(item.members), places)
            add(kernel, Source(key, first, first + len(members)))
        case Sort.DIAGONAL | Sort.PAIR:
            for k, member in enumerate(members):
                places = bring(member.masks.x)
                add(Pair(Tabled(places.masks(member.masks), local)), Source(key, first + k, first + k + 1))
        case Sort.MATRIX:
            places = bring(sum(1 << b for b in step.targets))
            positions = [places.where[b] for b in step.targets]
            groups = Brought.on(positions, places.masks(step.masks), local)
            add(Dense(groups), Source(key, first, first + len(members)))
        case sort:
            raise InputError(f"circuits: {sort.name.lower()}s are not possible on many devices; write them as gates.")
    return places


def on_devices(circuit, V, mesh: Mesh, adjoint, finish, arguments, out_specs):
    """finish(V', arguments) for the part V' of each device of the state after the circuit.

    Args:
        circuit: acts on V.
        V: the state (2, S, N), or None for |0…0⟩.
        mesh: of one axis with 2^g devices.
        adjoint: as of `state`.
        finish: what is done on each device.
        arguments: what it needs, the same on all devices.
        out_specs: how its results are spread, by the axis "amplitudes".
    """
    g = mesh.size.bit_length() - 1
    if len(mesh.axis_names) != 1 or mesh.size != 1 << g or circuit.n < 3 * g or circuit.n <= g:
        raise InputError(
            f"circuits: the mesh has axes {dict(mesh.shape)}; one axis of 2^g devices is needed, 3g ≤ n = {circuit.n}."
        )
    mesh = Mesh(mesh.devices, (AXIS,))
    segments = sharded_schedule(circuit.program, g)
    dtype = at_least_single(circuit.parameters.dtype) if V is None else V.dtype

    def part(V, circuit, arguments):
        leaves = cast(circuit, dtype)
        if V is None:
            is_first = jax.lax.axis_index(AXIS) == 0
            V = jnp.zeros((2, 1, 1 << (circuit.n - g)), dtype).at[0, 0, 0].set(is_first.astype(dtype))
        for segment in segments:
            V = through(segment, V, segment.data(leaves), adjoint)
        return finish(V, arguments)

    spread, same = PartitionSpec(None, None, AXIS), PartitionSpec()
    in_specs = (spread if V is not None else same, same, same)
    # Unchecked: the types of what varies from device to device get lost in the transposes of transposes (JAX 0.10).
    return jax.shard_map(part, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)(
        V, circuit, arguments
    )


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def mean_on_devices(observable, V, g: int):
    """⟨ψ|H|ψ⟩ from the parts of all devices, (S,)."""
    return _summed(V, _image(observable, V, g))


def _mean_on_devices_jvp(g, primals, tangents):
    return mean_jvp(partial(mean_on_devices, g=g), partial(_image, g=g), _summed, primals, tangents)


mean_on_devices.defjvp(_mean_on_devices_jvp, symbolic_zeros=True)


def _summed(a, b):
    return jax.lax.psum(jnp.sum(a * b, (0, 2)), AXIS)


def _image(observable, V, g: int):
    """H ψ."""
    local = observable.n - g
    i = indices(local)
    H = jnp.zeros_like(V)
    for x, even, odd in observable.diagonals(V.dtype, i):
        Y = flipped(V, x & ((1 << local) - 1))
        if far := x >> local:
            Y = jax.lax.ppermute(Y, AXIS, [(d, d ^ far) for d in range(1 << g)])
        if even is not None:
            H += even * Y
        if odd is not None:  # times -i
            H += odd * jnp.stack([Y[1], -Y[0]])
    return H
