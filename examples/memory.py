# %% [markdown]
# # Memory of a gradient through a long loop
#
# Reverse mode visits the states of a loop backwards, so it has to store them, recompute them, or run the loop
# backwards. Here a ring of 64 pendulums, by leapfrog, whose last energy is differentiated with respect to the first
# state: memory that the compiled gradient needs, and its run time, against the number of steps.

# %%
import time

import jax
import jax.numpy as jnp
import numpy as np

import pullback as pb

h = 1e-2


def kick(q, v, h):
    return v - h / 2 * (jnp.sin(q) + 2 * q - jnp.roll(q, 1) - jnp.roll(q, -1))


def leapfrog(state, _, h):
    q, v = state
    v = kick(q, v, h)
    q = q + h * v
    return (q, kick(q, v, h)), None


def back(state, _, h):
    return leapfrog(state, None, -h)[0]


def by_scan(adjoint):
    return lambda start, n: pb.loops.scan(lambda s, _: leapfrog(s, _, h), start, length=n, adjoint=adjoint)[0]


loops = {
    "plain": by_scan(pb.loops.Direct()),
    "each step recomputed": by_scan(pb.loops.Checkpoint()),
    "two levels": by_scan(pb.loops.TwoLevel()),
    "reversible": lambda start, n: pb.loops.reversible_scan(leapfrog, back, start, None, h, length=n)[0],
}

# %% [markdown]
# The compiler knows how much memory a program needs before it runs.

# %%
start = jnp.linspace(-1.0, 1.0, 64), jnp.zeros(64)
steps = np.array([100, 1000, 10_000])
memory, seconds, gradients = {}, {}, {}
for name, loop in loops.items():
    memory[name], seconds[name] = [], []
    for n in steps.tolist():
        gradient = jax.jit(jax.grad(lambda s, loop=loop, n=n: jnp.sum(loop(s, n)[1] ** 2))).lower(start).compile()
        gradients[name] = jax.block_until_ready(gradient(start))
        begin = time.perf_counter()
        jax.block_until_ready(gradient(start))
        seconds[name].append(time.perf_counter() - begin)
        memory[name].append(gradient.memory_analysis().temp_size_in_bytes / 1e6)
    print(f"{name:21s} MB {np.round(memory[name], 4)}   s {np.round(seconds[name], 4)}")
    apart = [jnp.max(jnp.abs(a - b)) for a, b in zip(gradients[name], gradients["plain"])]
    assert max(apart) < 1e-9 * jnp.max(jnp.abs(gradients["plain"][0]))

assert memory["reversible"][0] == memory["reversible"][-1]  # nothing grows

# %%
figure, axes = pb.plots.new_figure(1, 2)
for ax, values, label in zip(axes, (memory, seconds), ("memory of the gradient (MB)", "time of the gradient (s)")):
    pb.plots.curves(
        ax, steps, values, xlabel="number of steps", ylabel=label, yscale="log", dashed=("each step recomputed",)
    )
    ax.set_xscale("log")
axes[0].get_legend().remove()
if __name__ == "__main__":
    figure.savefig("memory.png")
