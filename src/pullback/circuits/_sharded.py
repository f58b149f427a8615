"""State vectors over many devices: 2^g of them hold 2^(n−g) amplitudes each.

A qubit sits at a position, a bit of an amplitude's index: positions below l = n − g are bits of the place in a device's
part, the others are bits of the device's number. Gates on local positions need no communication, and neither do
controls and phases on any. One exchange (all-to-all) swaps the g global positions with the g highest local ones: for a
layer of gates on all qubits one is enough. SWAP only renames positions. No table has as many entries as a state.

The kernels are those of one device with these few methods replaced, and the derivative rule is the same, on each
device's part: cotangents of matrices are summed over devices because matrices are the same on all of them.
"""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from pullback.circuits._evolve import cast, through
from pullback.circuits._gates import Masks
from pullback.circuits._input import at_least_single
from pullback.circuits._kernels import Generated, Locals, Move, Pair, Tables, dagger
from pullback.circuits._lower import collect
from pullback.circuits._pauli import flipped, mean_jvp
from pullback.circuits._program import Program
from pullback.circuits._schedule import Segment, Source, key_of, ordered, recipe_of, stretches
from pullback.core import InputError

AXIS = "amplitudes"
_SHORT = 64  # items that are compiled one by one; longer stretches that do not repeat are refused


class Places:
    """Where qubits are: `where[q]` is the position of qubit q; `local` positions lie within a device."""

    def __init__(self, where, local: int, devices: int):
        self.where, self.local, self.bits = tuple(where), local, devices

    def mask(self, mask: int) -> int:
        return sum(1 << p for q, p in enumerate(self.where) if mask >> q & 1)

    def masks(self, masks: Masks) -> Masks:
        return Masks(*map(self.mask, masks))

    def swapped(self, a: int, b: int) -> "Places":
        names = {a: b, b: a}
        return Places((names.get(p, p) for p in self.where), self.local, self.bits)

    def exchanged(self) -> "Places":
        top, g = self.local - self.bits, self.bits
        new = (p if p < top else p + g if p < top + g else p - g for p in self.where)
        return Places(new, self.local, self.bits)

    def brought(self, qubits) -> "tuple[list, Places]":
        """The moves after which all of these qubits are local, and the places then."""
        if all(self.where[q] < self.local for q in qubits):
            return [], self
        moves, places, top = [], self, self.local - self.bits
        free = [p for q, p in enumerate(self.where) if p < top and q not in qubits]
        for p in range(top, self.local):
            if places.where.index(p) in qubits:
                if not free:
                    raise InputError(
                        f"circuits: a gate on {len(qubits)} qubits needs more than the {self.local} qubits that are "
                        f"local on {1 << self.bits} devices; use fewer devices."
                    )
                moves.append((p, free.pop()))
                places = places.swapped(*moves[-1])
        return [*moves, None], places.exchanged()

    def rearranged(self, where) -> list:
        """The moves that bring each qubit q to position where[q]."""
        top, g = self.local - self.bits, self.bits
        last = [where.index(self.local + j) for j in range(g)]  # the qubits that are to be global
        moves, places = [], self
        if [places.where[q] for q in last] != [self.local + j for j in range(g)]:
            moves, places = places.brought(last)
            for j, q in enumerate(last):
                if places.where[q] != top + j:
                    moves.append((places.where[q], top + j))
                    places = places.swapped(*moves[-1])
            moves.append(None)
            places = places.exchanged()
        for q in sorted(range(len(where)), key=where.__getitem__)[: self.local]:
            if places.where[q] != where[q]:
                moves.append((places.where[q], where[q]))
                places = places.swapped(*moves[-1])
        return moves


def _moved(moves, g, V):
    """V after moves: two local positions to swap, or None for the exchange. Each is its own inverse."""
    for move in moves:
        if move is None:
            parts = V.reshape(*V.shape[:2], 1 << g, -1)
            V = jax.lax.all_to_all(parts, AXIS, 2, 2, tiled=True).reshape(V.shape)
        else:
            low, high = sorted(move)
            bits = V.reshape(*V.shape[:2], -1, 2, 1 << (high - low - 1), 2, 1 << low)
            V = jnp.swapaxes(bits, 3, 5).reshape(V.shape)
    return V


class ShardedMove(Move):
    """Some moves."""

    def __init__(self, moves, g):
        self.there, self.back = partial(_moved, moves, g), partial(_moved, moves[::-1], g)


class ShardedLocals(Locals):
    """One gate on each of some qubits: first on those that are local, then on the others, which are exchanged."""

    def __init__(self, qubits, places: Places):
        here = [(k, places.where[q]) for k, q in enumerate(qubits) if places.where[q] < places.local]
        rest = [q for q in qubits if places.where[q] >= places.local]
        self.phases = [(None, None, here)] if here else []
        self.members, self.places = len(qubits), places
        if rest:
            moves, self.places = places.brought(rest)
            there = partial(_moved, moves, places.bits), partial(_moved, moves[::-1], places.bits)
            self.phases.append((*there, [(k, self.places.where[q]) for k, q in enumerate(qubits) if q in rest]))


class ShardedPair(Pair):
    """A pair operation whose mask x is local."""

    def __init__(self, masks: Masks, local: int):
        self.masks, self.local = masks, local

    @property
    def tables(self) -> Tables:  # pyright: ignore[reportIncompatibleVariableOverride]
        m, x, s, controls, values = self.masks
        i = indices(self.local)
        return Tables(_odd(i & m), (i & controls) == values, 1.0 - 2.0 * _odd(i & s), x)


class Flip:
    """X on a local position, under controls."""

    def __init__(self, masks: Masks, local: int):
        self.masks, self.local = masks, local

    def apply(self, V, u):
        active = (indices(self.local) & self.masks.controls) == self.masks.values
        return jnp.where(active, flipped(V, self.masks.x), V)

    inverse = apply

    def tangent(self, V, dV, u, K):
        return self.apply(V, u), self.apply(dV, u)

    untangent = tangent

    def pull(self, V, W, u):
        return self.apply(V, u), self.apply(W, u), u

    def transitions(self, V, W, u):
        return u


class ShardedDense(Generated):
    """A matrix on k local positions, with controls on any."""

    def __init__(self, positions, masks: Masks, local: int):
        self.masks, self.local, self.k = masks, local, len(positions)
        self.moves, at = [], list(positions)
        for j in range(self.k):  # bit j of the matrix's index goes to position local − k + j
            target = local - self.k + j
            if at[j] != target:
                self.moves.append((at[j], target))
                at = [target if p == at[j] else at[j] if p == target else p for p in at]

    def _times(self, u, V, elsewhere):
        X = _moved(self.moves, 0, V).reshape(*V.shape[:2], 1 << self.k, -1)
        re, im = (jnp.einsum("ab,csbg->csag", u[c], X) for c in (0, 1))
        out = _moved(self.moves[::-1], 0, jnp.stack([re[0] - im[1], re[1] + im[0]]).reshape(V.shape))
        return jnp.where(self._active(), out, elsewhere * V)

    def _active(self):
        return (indices(self.local) & self.masks.controls) == self.masks.values

    def apply(self, V, u):
        return self._times(u[0], V, 1.0)

    def inverse(self, V, u):
        return self._times(dagger(u[0]), V, 1.0)

    def generate(self, V, K):
        return self._times(K[0], V, 0.0)

    def transitions(self, V, W, u):
        a, b = (
            _moved(self.moves, 0, Z).reshape(*V.shape[:2], 1 << self.k, -1)
            for Z in (jnp.where(self._active(), W, 0.0), V)
        )
        Q = jnp.einsum("csag,dsbg->cdab", a, b)
        return jnp.stack([Q[0, 0] + Q[1, 1], Q[1, 0] - Q[0, 1]])[None]


def indices(local: int):
    """The indices of this device's amplitudes."""
    device = jax.lax.axis_index(AXIS).astype(int)
    return jnp.arange(1 << local) + (device << local)


def _odd(i):
    return (jax.lax.population_count(i) & 1).astype(bool)


@lru_cache(maxsize=32)
def sharded_schedule(program: Program, g: int) -> tuple[Segment, ...]:
    """The segments of a program on 2^g devices; amplitudes are in their order before and after it.

    Raises:
        InputError: evolutions without a matrix; a long stretch without repetition; a gate on too many qubits.
    """
    steps, items = collect(program)
    n = program.n
    ids: dict[tuple, int] = {}
    word = np.array([ids.setdefault(item.signature(steps), len(ids)) for item in items], int)
    segments: list[Segment] = []
    for start, period, count in stretches(word):
        part = items[start : start + period * count]
        if count == 1 and period > _SHORT:
            raise InputError(
                f"circuits: {period} steps do not repeat; on many devices up to {_SHORT} are possible. Write the "
                "circuit with layers."
            )
        places = Places(range(n), n - g, g)
        kernels, sources, used = [], [], {}
        for item in part[:period]:
            places = _lowered(steps, item, places, kernels, sources, used)
        moves = places.rearranged(tuple(range(n)))
        if moves:
            kernels.append(ShardedMove(moves, g))
            sources.append(Source("pair"))
        members: dict[str, list] = {}
        for item in part:
            if item.sort != "permutation":
                members.setdefault(key_of(steps, item), []).extend(ordered(item))
        recipes = {key: recipe_of(key)(program, steps, found) for key, found in members.items()}
        segments.append(Segment(kernels, sources, count, recipes, {}))
    return tuple(segments)


def _lowered(steps, item, places: Places, kernels, sources, used) -> Places:
    """Appends the kernels of an item; the places after it."""
    local = places.local

    def add(kernel, source):
        kernels.append(kernel)
        sources.append(source)

    def bring(mask: int):
        moves, new = places.brought([q for q in range(len(places.where)) if mask >> q & 1])
        if moves:
            add(ShardedMove(moves, places.bits), Source("pair"))
        return new

    if item.sort == "permutation":
        for member in item.members.values():
            step = steps[member.chain[0][0]]
            if len(step.targets) == 2:
                a, b = step.targets
                places = places.swapped(places.where[a], places.where[b])
                continue
            bit = 1 << step.targets[0]
            places = bring(bit)
            add(Flip(places.masks(step.masks._replace(x=bit)), local), Source("pair"))
        return places
    members = ordered(item)
    key, step = key_of(steps, item), steps[members[0].chain[0][0]]
    first = used.get(key, 0)
    used[key] = first + len(members)
    match item.sort:
        case "local":
            kernel = ShardedLocals(sorted(item.members), places)
            add(kernel, Source(key, first, used[key]))
            return kernel.places
        case "diagonal" | "pair":
            for k, member in enumerate(members):
                places = bring(member.masks.x)
                add(ShardedPair(places.masks(member.masks), local), Source(key, first + k, first + k + 1))
        case "matrix":
            places = bring(sum(1 << q for q in step.targets))
            positions = [places.where[q] for q in step.targets]
            add(ShardedDense(positions, places.masks(step.masks), local), Source(key, first, used[key]))
        case sort:
            raise InputError(f"circuits: {sort}s are not possible on many devices; write them as gates.")
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
