"""Scopes, conditions, loops and subroutines of OpenQASM: which statements are executed, and under which guard."""

from collections import ChainMap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from pullback.circuits._outcomes import TooManyCases, lift
from pullback.circuits._qasm._syntax import Body, Statement
from pullback.circuits._qasm._values import Bits, Qubits, Type, apply, at_line, convert, whole

_MOST_PASSES = {"for": 10_000_000, "while": 10_000}  # of all loops of the kind together


class End(Exception):
    """The program has ended, wherever it was."""


class _Break(Exception):
    """A loop has ended."""


class _Continue(Exception):
    """One pass of a loop has ended."""


class _Return(Exception):
    """A subroutine has ended, with this value."""

    def __init__(self, value: Any):
        self.value = value


class Control:
    """Executes statements: a statement of some kind is done by the method `do_kind`.

    `names` are the values that names have, `types` what can be assigned to them (None: nothing).
    """

    def __init__(self, names: dict[str, Any]):
        self.line, self.passes, self.assignments = 1, dict.fromkeys(_MOST_PASSES, 0), 0
        self.guard: Any = True  # or a value that depends on outcomes
        self.entry: Any = True  # the guard with which the innermost loop or subroutine was entered
        self.globals = names
        self.names: ChainMap[str, Any] = ChainMap(names)
        self.types: ChainMap[str, Type | None] = ChainMap({})

    def execute(self, statement: Statement) -> None:
        self.line = line = statement.line
        try:
            getattr(self, "do_" + statement.kind)(line, *statement.parts)
        except RecursionError:
            raise at_line(line, "this is nested too deeply.") from None
        except TooManyCases:
            raise at_line(line, "this depends on the outcomes of too many measurements.") from None
        except (_Break, _Continue, _Return) as leaving:
            if len(self.names.maps) == 1:
                name = type(leaving).__name__.strip("_").lower()
                raise at_line(line, f"{name!r} stands outside of what it could leave.") from None
            raise

    def run(self, body: Body) -> None:
        for statement in body:
            self.execute(statement)

    @contextmanager
    def inside(self, **names: Any) -> Iterator[None]:
        """Names that are declared here end here."""
        outer = self.names, self.types
        self.names = self.names.new_child(names)
        self.types = self.types.new_child(dict.fromkeys(names))
        try:
            yield
        finally:
            self.names, self.types = outer

    def declare(self, name: str, value: Any, line: int, of: Type | None = None) -> None:
        registers = Qubits, Bits
        if name in (here := self.names.maps[0]) and isinstance(here[name], registers) | isinstance(value, registers):
            raise at_line(line, f"{name!r} is declared twice.")
        self.names[name], self.types[name] = value, of

    def do_block(self, line, body) -> None:
        if body:
            with self.inside():
                self.run(body)

    def under(self, condition: Any, body: Body) -> None:
        """The body where the condition holds."""
        guard = self.guard
        inner = lift(lambda a, b: bool(a) and bool(b), guard, condition)
        if inner is False or not body:
            return
        self.guard = guard if inner is True else inner
        try:
            with self.inside():
                self.run(body)
        finally:
            self.guard = guard

    def truth(self, value: Any, line: int) -> Any:
        if isinstance(value, Bits):
            return apply("!=", line, value, 0)
        return convert(value, Type("bool"), line)

    def do_if(self, line, condition, body, other) -> None:
        holds = self.truth(condition(self.names), line)
        self.under(holds, body)
        self.under(apply("unary !", line, holds), other)

    def do_switch(self, line, value, cases) -> None:
        value, rest = value(self.names), True
        for labels, body in cases:
            holds: Any = False
            for label in labels or ():
                same = apply("==", line, value, label(self.names))
                holds = apply("||", line, holds, same)
            holds = apply("&&", line, rest, holds) if labels else rest
            self.under(holds, body)
            rest = apply("&&", line, rest, apply("unary !", line, holds))

    def do_for(self, line, of, name, numbers, body) -> None:
        numbers = numbers(self.names)
        if not isinstance(numbers, list | range) or isinstance(numbers, Qubits):
            raise at_line(line, "a loop runs over a range, as in [0:9], a set, or an array.")
        of = None if of is None else of.known(self.names)
        for number in numbers:
            self.count_pass(line, "for")
            with self.inside(**{name: number if of is None else convert(number, of, line)}):
                if self.leaves(body):
                    break

    def do_while(self, line, condition, body) -> None:
        while True:
            holds = self.truth(condition(self.names), line)
            if not isinstance(holds, bool):
                raise at_line(
                    line,
                    "`while` over outcomes of measurements is not supported, as nothing bounds its passes; write so "
                    "many `if`s as there may be passes.",
                )
            if not holds:
                return
            self.count_pass(line, "while")
            before = self.assignments
            with self.inside():
                if self.leaves(body):
                    return
            if self.assignments == before:
                raise at_line(line, "`while`: a pass assigns nothing, so that the loop never ends.")

    def leaves(self, body: Body) -> bool:
        """One pass of a loop; whether it was the last."""
        entry, self.entry = self.entry, self.guard
        try:
            self.run(body)
        except (_Break, _Continue) as leaving:
            return isinstance(leaving, _Break)
        finally:
            self.entry = entry
        return False

    def count_pass(self, line: int, name: str) -> None:
        self.passes[name] += 1
        if self.passes[name] > _MOST_PASSES[name]:
            raise at_line(line, f"`{name}`: more than {_MOST_PASSES[name]} passes through loops.")

    def leave(self, line: int, leaving: Exception, entry: Any) -> None:
        if self.guard is not entry:
            name = type(leaving).__name__.strip("_").lower()
            raise at_line(line, f"{name!r} where an outcome decides is not supported.")
        raise leaving

    def do_end(self, line) -> None:
        self.leave(line, End(), True)

    def do_break(self, line) -> None:
        self.leave(line, _Break(), self.entry)

    def do_continue(self, line) -> None:
        self.leave(line, _Continue(), self.entry)

    def do_return(self, line, value) -> None:
        self.leave(line, _Return(None if value is None else value(self.names)), self.entry)

    def do_def(self, line, name, parameters, body) -> None:
        self.declare(name, partial(self.subroutine, name, parameters, body), line)

    def subroutine(self, name, parameters, body, arguments, line) -> Any:
        """What a subroutine returns; its statements are executed where it is called."""
        if len(arguments) != len(parameters):
            raise at_line(line, f"{name} takes {len(parameters)} arguments, not {len(arguments)}.")
        given, types = {}, {}
        for value, (kind, of, inner, where) in zip(arguments, parameters):
            if kind in ("qubit", "qreg"):
                size = of.size if kind == "qubit" else of
                size = 1 if size is None else whole(size(self.globals), where, "a size or number")
                if not isinstance(value, Qubits) or len(value) != size:
                    raise at_line(line, f"{name}: {inner} takes {size} qubit{'s' * (size != 1)}.")
                given[inner] = value
                continue
            is_register = kind == "creg"
            size = whole(of(self.globals), where, "a size") if is_register and of else None
            types[inner] = Type("bit", size) if is_register else of.known(self.globals)
            given[inner] = convert(value, types[inner], line)
        outer = self.names, self.types, self.entry
        self.names, self.types = ChainMap(given, self.globals), ChainMap(types, self.types.maps[-1])
        self.entry = self.guard
        try:
            self.run(body)
        except _Return as returned:
            return returned.value
        except (_Break, _Continue):
            raise at_line(self.line, "there is no loop to leave.") from None
        finally:
            self.names, self.types, self.entry = outer
        return None
