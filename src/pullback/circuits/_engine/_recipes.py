"""Recipes: how the matrices of all operations follow from the parameters, as whole arrays.

The 2x2 matrix of a member is a product over its chain of gates. Members whose chains are alike (Rz Rx Rz, …) are
evaluated together, element by element; if there are many different chains, or long ones, all gates are evaluated and
multiplied pairwise.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pullback.circuits._engine._kernels import multiply
from pullback.circuits._engine._lower import Member, Step
from pullback.circuits._gates import Matrix, entries_of, is_constant, marked, product
from pullback.circuits._program import Program
from pullback.linalg import expm
from pullback.operators import PauliSum, Terms

_MANY = 12  # different chains
_LONG = 16  # elements of a chain


class Leaves(NamedTuple):
    """The arrays of a circuit; `uniforms` (given matrices and channels, states) decide branches of channels."""

    parameters: Array
    matrices: dict[int, Array]
    channels: dict[tuple[int, int], Any]
    couplings: Array
    uniforms: Any


class Angles(NamedTuple):
    """Angles (…): parameter `slots`, times `factors` (None: 1), times couplings (None: none; −1: 1)."""

    slots: np.ndarray
    factors: np.ndarray | None
    couplings: np.ndarray | None
    unique: bool

    def evaluate(self, leaves: Leaves) -> Array:
        theta = leaves.parameters.at[self.slots].get(mode="promise_in_bounds", unique_indices=self.unique)
        if self.factors is not None:
            theta = theta * jnp.asarray(self.factors, theta.dtype)
        if self.couplings is not None:
            c = jnp.append(leaves.couplings.astype(theta.dtype), 1)  # entry −1
            theta = theta * c[self.couplings]
        return theta


class Element(NamedTuple):
    """The same matrix at many places: its angles (places, k), the slots of given matrices (places)."""

    matrix: Matrix
    angles: Angles
    given: np.ndarray


class Group(NamedTuple):
    """Members with the same chain: where they are among all, and the elements of the chain."""

    places: np.ndarray
    elements: tuple[Element, ...]


class PairRecipe:
    """The 2x2 matrices of all members of a segment."""

    def __init__(self, program: Program, steps: list[Step], members: Sequence[Member]):
        self.size = len(members)
        numbers: dict[Matrix, int] = {}
        of_step = [numbers.setdefault(step.matrix, len(numbers)) for step in steps]
        matrices = [*numbers]
        chains: dict[tuple[int, ...], list[int]] = {}
        for place, member in enumerate(members):
            chains.setdefault(tuple([of_step[e[0]] for e in member.chain]), []).append(place)
        self.groups: list[Group] = []
        self.products: list[tuple[np.ndarray, np.ndarray]] = []  # members, and their elements, padded with the identity
        if len(chains) <= _MANY and max(map(len, chains)) <= _LONG:
            for chain, places in chains.items():
                entries = np.array([members[p].chain for p in places]).reshape(len(places), len(chain), 3)
                elements = [_element(program, steps, matrices[k], entries[:, j]) for j, k in enumerate(chain)]
                self.groups.append(Group(np.array(places), tuple(elements)))
            return
        entries = np.array([entry for m in members for entry in m.chain])
        which = np.array(of_step)[entries[:, 0]]
        for k in np.unique(which):
            places = np.flatnonzero(which == k)
            self.groups.append(Group(places, (_element(program, steps, matrices[k], entries[places]),)))
        lengths = np.array([len(m.chain) for m in members])
        firsts = np.cumsum(lengths) - lengths
        sizes = np.array([1 << (int(length) - 1).bit_length() for length in lengths])
        for size in np.unique(sizes):
            chosen = np.flatnonzero(sizes == size)
            j = np.arange(size)
            table = np.where(j < lengths[chosen, None], firsts[chosen, None] + j, len(entries))
            self.products.append((chosen, table))

    @property
    def is_free(self) -> bool:
        return any(e.matrix.is_given for group in self.groups for e in group.elements)

    def evaluate(self, leaves: Leaves) -> Float[Array, "members 2 2 2"]:
        arrays = [_chain(group, leaves) for group in self.groups]
        order = np.concatenate([group.places for group in self.groups])
        u = jnp.concatenate(arrays) if len(arrays) > 1 else arrays[0]
        if not np.array_equal(order, np.arange(len(order))):
            back = np.empty_like(order)
            back[order] = np.arange(len(order))
            u = u.at[back].get(mode="promise_in_bounds", unique_indices=True)
        if not self.products:
            return u
        identity = jnp.stack([jnp.eye(2, dtype=u.dtype), jnp.zeros((2, 2), u.dtype)])[None]
        elements = jnp.concatenate([u, identity])
        out = jnp.zeros((self.size, 2, 2, 2), u.dtype)
        for members, table in self.products:
            x = elements[table]
            while x.shape[1] > 1:  # neighbours multiply; the later acts last
                x = multiply(x[:, 1::2], x[:, ::2])
            out = out.at[members].set(x[:, 0], unique_indices=True)
        return out


def _element(program, steps, matrix, entries):
    """`entries` (places, 3): step, first angle, position of the given matrix."""
    numbers, starts, given = entries.T
    slots = program.matrices[given] if matrix.is_given else given
    return Element(matrix, _angles(program, steps, numbers, starts), slots)


def _angles(program, steps, numbers, starts):
    k = len(steps[numbers[0]].angles)
    table = np.zeros((len(steps), k), int), np.ones((len(steps), k)), np.full((len(steps), k), -1)
    for number in np.unique(numbers):
        step = steps[number]
        for column, values in zip(table, (step.angles, step.factors, step.couplings)):
            column[number] = values
    where = starts[:, None] + table[0][numbers]
    factors = table[1][numbers] * program.factors[where]
    couplings = table[2][numbers]
    slots = program.slots[where]
    return Angles(
        slots,
        None if np.all(factors == 1) else factors,
        None if np.all(couplings < 0) else couplings,
        len(np.unique(slots)) == slots.size,
    )


def _chain(group, leaves):
    """The product of the elements, (places, 2, 2, 2); the last acts last."""
    with jax.numpy_dtype_promotion("standard"):  # some entries are real, some complex
        total = _entries(group.elements[0], leaves)
        for element in group.elements[1:]:
            total = product(_entries(element, leaves), total)
    dtype = leaves.parameters.dtype
    shape = group.places.shape

    def part(take):
        return jnp.stack([jnp.broadcast_to(jnp.asarray(0 if z is None else take(z), dtype), shape) for z in total], -1)

    return jnp.stack([part(jnp.real), part(jnp.imag)], 1).reshape(-1, 2, 2, 2)


def _entries(element, leaves):
    matrix = element.matrix
    if matrix.name == "SWAP":  # taken apart, into three controlled X
        matrix = Matrix("X")
    if is_constant(matrix):
        return entries_of(matrix)
    if matrix.is_given:
        u = leaves.matrices[1][element.given]
        return marked(matrix, (u[:, 0, 0], u[:, 0, 1], u[:, 1, 0], u[:, 1, 1]))
    theta = element.angles.evaluate(leaves)
    return entries_of(matrix, *(theta[:, j] for j in range(theta.shape[1])))


class MatrixRecipe:
    """The matrices on k > 1 qubits of a segment."""

    def __init__(self, program: Program, steps: list[Step], members: Sequence[Member]):
        entries = np.array([m.chain[0] for m in members])
        self.parts: list[tuple[np.ndarray, Step, Angles, np.ndarray]] = []
        for number in np.unique(entries[:, 0]):
            places = np.flatnonzero(entries[:, 0] == number)
            numbers, starts, given = entries[places].T
            step = steps[number]
            slots = program.matrices[given] if step.matrix.is_given else given
            self.parts.append((places, step, _angles(program, steps, numbers, starts), slots))

    @property
    def is_free(self) -> bool:
        return any(step.matrix.is_given for _, step, _, _ in self.parts)

    def evaluate(self, leaves: Leaves) -> Float[Array, "members 2 d d"]:
        arrays = [_matrices(step, angles, given, leaves) for _, step, angles, given in self.parts]
        u = jnp.concatenate(arrays)[np.argsort(np.concatenate([part[0] for part in self.parts]))]
        dtype = leaves.parameters.dtype
        return jnp.stack([u.real.astype(dtype), u.imag.astype(dtype)], 1)


def _matrices(step, angles, given, leaves):
    if step.matrix.conjugate:
        return jnp.conj(_matrices(step._replace(matrix=step.matrix._replace(conjugate=False)), angles, given, leaves))
    if step.matrix.is_given:
        u = leaves.matrices[len(step.targets)][given]
        return jnp.conj(jnp.swapaxes(u, -1, -2)) if step.matrix.adjoint else u
    c = leaves.couplings[step.first : step.first + len(step.strings)]
    t = angles.evaluate(leaves)[:, 0]
    turns = jax.lax.complex(jnp.zeros_like(t), -t)[:, None, None]
    return expm(turns * PauliSum(len(step.targets), Terms(step.strings, c)).matrix().astype(turns.dtype)[None])


class ChannelRecipe:
    """What the channels of one size need, (members, branches (1 + 2 d²) + states): see `Jump`."""

    is_free = False

    def __init__(self, program: Program, steps: list[Step], members: Sequence[Member]):
        numbers, _, self.places = np.array([m.chain[0] for m in members]).T
        self.slots = program.matrices[self.places]
        step = steps[numbers[0]]
        self.size = len(step.targets), step.branches

    def evaluate(self, leaves: Leaves) -> Any:
        channel, rows = leaves.channels[self.size], len(self.slots)
        A = channel.operators[self.slots]
        parts = [channel.weights[self.slots], A.real, A.imag, leaves.uniforms[self.places]]
        return jnp.concatenate([part.astype(leaves.parameters.dtype).reshape(rows, -1) for part in parts], 1)


class EvolutionRecipe:
    """Times and coefficients of evolutions without a matrix, (members, 1 + terms)."""

    is_free = False

    def __init__(self, program: Program, steps: list[Step], members: Sequence[Member]):
        numbers, starts, _ = np.array([m.chain[0] for m in members]).T
        self.step = steps[numbers[0]]
        self.angles = _angles(program, steps, numbers, starts)

    def evaluate(self, leaves: Leaves) -> Any:
        t = self.angles.evaluate(leaves)
        c = leaves.couplings[self.step.first : self.step.first + len(self.step.strings)].astype(t.dtype)
        return jnp.concatenate([t, jnp.broadcast_to(c, (len(t), len(c)))], 1)
