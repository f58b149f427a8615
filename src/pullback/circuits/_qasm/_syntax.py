"""The statements of OpenQASM, as they are written: what they do is said in `_read`."""

from typing import Any, NamedTuple

from pullback.circuits._qasm._parse import TYPES, Evaluate, Operand, Parser, at_line, is_name, range_of

LIBRARIES = ("qelib1.inc", "stdgates.inc")
_UNSUPPORTED = {
    "extern": "functions of other programs are",
    **dict.fromkeys(("defcal", "cal", "defcalgrammar"), "pulses are"),
    "complex": "complex numbers are",
}
_ASSIGNMENTS = ("=", "+=", "-=", "*=", "/=", "%=", "**=", "^=", "&=", "|=", "~=", "<<=", ">>=")
_MODIFIERS = ("ctrl", "negctrl", "inv", "pow")


class Statement(NamedTuple):
    """What is to be done, `kind`, with what is needed for it."""

    line: int
    kind: str
    parts: tuple[Any, ...] = ()


Body = tuple[Statement, ...]


class Call(NamedTuple):
    """A gate call: its modifiers (name, argument), angles, and operands."""

    modifiers: tuple[tuple[str, Evaluate | None], ...]
    name: str
    angles: tuple[Evaluate, ...]
    operands: tuple[Operand, ...]
    line: int


class Syntax(Parser):
    """The statements of a program, one after the other."""

    def __init__(self, text: str, version: int | None = None):
        super().__init__(text)
        self.version, self.has_version = version or 2, version is not None

    def statement(self) -> Statement:
        line = self.line
        try:
            return self._statement(line, self.peek())
        except RecursionError:
            raise at_line(line, "this is nested too deeply.") from None

    def body(self) -> Body:
        """Statements in braces, or one without."""
        if not self.accept("{"):
            return (self.statement(),)
        found = []
        while not self.accept("}"):
            found.append(self.statement())
        return tuple(found)

    def _statement(self, line: int, name: str) -> Statement:
        match name:
            case "{":
                return Statement(line, "block", (self.body(),))
            case "}" | "":
                raise self.error(f"expected a statement, found {name or 'the end'!r}.")
            case ";":
                self.next()
                return Statement(line, "block", ((),))
            case _ if name in _UNSUPPORTED:
                raise at_line(line, f"{name!r}: {_UNSUPPORTED[name]} not supported.")
            case "OPENQASM":
                return self.header(line)
            case "include":
                self.next()
                file = self.next().strip('"')
                self.expect(";")
                self.is_version(3 if file == "stdgates.inc" else None)
                return Statement(line, "include", (file,))
            case "qreg" | "creg" | "qubit":
                return self.register(line)
            case "gate" | "def":
                return self.gate(line) if name == "gate" else self.subroutine(line)
            case "for" | "while" | "if" | "switch":
                return getattr(self, "_" + name)(line)
            case "input" | "output" | "const" | "array":
                return self.variable(line)
            case _ if name in TYPES and self.peek(1) != "(":
                return self.variable(line)
        return self.simple(line, name)

    def simple(self, line: int, name: str) -> Statement:
        """Statements without parts that are statements."""
        if self.peek(1) in (*_ASSIGNMENTS, "[") and is_name(name) and name not in ("delay", "box"):
            return self.assignment(line)
        parts: tuple[Any, ...] = ()
        match name:
            case "let":
                self.next()
                new = self.word()
                self.expect("=")
                operands = [self.operand()]
                while self.accept("++"):
                    operands.append(self.operand())
                parts = new, operands
            case "barrier" | "delay" | "nop":
                self.next()
                if name == "delay":
                    self.skip("]")
                parts = ([] if self.peek() == ";" else self.listed(self.operand),)
            case "opaque":
                self.next()
                name = self.word()
                self.skip(";")
                return Statement(line, "opaque", (name,))
            case "duration" | "stretch":
                self.skip(";")
                return Statement(line, "block", ((),))
            case "box":
                self.next()
                if self.peek() == "[":
                    self.skip("]")
                return Statement(line, "block", (self.body(),))
            case "measure":
                self.next()
                operand = self.operand()
                parts = operand, self.target() if self.accept("->") else None
            case "reset":
                self.next()
                parts = (self.operand(),)
            case "return":
                self.next()
                parts = (None if self.peek() == ";" else self.expression(),)
            case "end" | "break" | "continue":
                self.next()
            case _:
                return Statement(line, "call", (self.call(),))
        if name != "end":
            self.expect(";")
        elif self.peek() != ";":
            raise self.error(f"expected ';', found {self.peek() or 'the end'!r}.")
        else:  # what follows may be no token at all
            self.at += 1
        return Statement(line, "barrier" if name in ("delay", "nop") else name, parts)

    def skip(self, end: str) -> None:
        depth = 0
        while (found := self.next()) != end or depth:
            depth += {"{": 1, "}": -1}.get(found, 0)

    def header(self, line: int) -> Statement:
        self.next()
        version = self.next().partition(".")[0]
        if version not in ("2", "3"):
            raise at_line(line, f"version 2 or 3 is needed, not {version!r}.")
        self.version, self.has_version = int(version), True
        self.expect(";")
        return Statement(line, "block", ((),))

    def is_version(self, version: int | None) -> None:
        """What is only in this version tells it where the program does not."""
        if version is not None and not self.has_version:
            self.version, self.has_version = version, True

    def register(self, line: int) -> Statement:
        kind, size = self.next(), None
        if kind == "qubit":
            self.is_version(3)
            if self.accept("["):
                size = self.expression()
                self.expect("]")
        name = self.word()
        if kind != "qubit":
            self.expect("[")
            size = self.expression()
            self.expect("]")
        self.expect(";")
        return Statement(line, "bits" if kind == "creg" else "qubits", (name, size))

    def variable(self, line: int) -> Statement:
        role = self.next() if self.peek() in ("input", "output", "const") else ""
        of, name = self.type(), self.word()
        value = self.expression() if self.accept("=") else None
        self.expect(";")
        return Statement(line, "variable", (role, of, name, value))

    def target(self) -> tuple[str, tuple[Any, ...]]:
        """What is assigned to: a name and its indices."""
        name, indices = self.word(), []
        while self.accept("["):
            indices.append(self.bounds())
        return name, tuple(indices)

    def assignment(self, line: int) -> Statement:
        target, symbol = self.target(), self.next()
        if symbol not in _ASSIGNMENTS:
            raise at_line(line, f"expected '=', found {symbol!r}.")
        value = self.expression()
        self.expect(";")
        return Statement(line, "assign", (target, symbol[:-1], value))

    def call(self) -> Call:
        modifiers = []
        while self.peek() in _MODIFIERS:
            name, argument = self.next(), None
            if self.accept("("):
                self.real_division = name == "pow"
                argument = self.expression()
                self.real_division = False
                self.expect(")")
            self.expect("@")
            modifiers.append((name, argument))
        line, name = self.line, self.word()
        angles = self.listed(self.expression, ")") if self.accept("(") else []
        operands = [] if self.peek() == ";" else self.listed(self.operand)
        self.expect(";")
        return Call(tuple(modifiers), name, tuple(angles), tuple(operands), line)

    def gate(self, line: int) -> Statement:
        self.next()
        name = self.word()
        parameters = self.listed(self.word, ")") if self.accept("(") else []
        qubits = self.listed(self.word)
        if self.peek() != "{":
            self.expect("{")
        return Statement(line, "gate", (name, tuple(parameters), tuple(qubits), self.body()))

    def subroutine(self, line: int) -> Statement:
        self.next()
        name = self.word()
        self.expect("(")
        parameters = self.listed(self.parameter, ")")
        if self.accept("->"):
            self.type()
        if self.peek() != "{":
            self.expect("{")
        return Statement(line, "def", (name, parameters, self.body()))

    def parameter(self):
        if self.peek() in ("const", "readonly", "mutable"):
            self.next()
        if self.peek() in ("qreg", "creg"):  # qreg q[2], as OpenQASM 2 writes registers
            line, kind, name = self.line, self.next(), self.word()
            size = None
            if self.accept("["):
                size = self.expression()
                self.expect("]")
            return kind, size, name, line
        of = self.type()
        return of.name, of, self.word(), of.line

    def _for(self, line: int) -> Statement:
        self.next()
        of = None if self.peek(1) == "in" else self.type()
        name = self.word()
        self.expect("in")
        if self.accept("["):
            numbers = range_of(self.bounds(), line)
        else:
            numbers = self.expression()
        return Statement(line, "for", (of, name, numbers, self.body()))

    def _while(self, line: int) -> Statement:
        self.next()
        return Statement(line, "while", (self.condition(), self.body()))

    def _if(self, line: int) -> Statement:
        self.next()
        condition, body = self.condition(), self.body()
        return Statement(line, "if", (condition, body, self.body() if self.accept("else") else ()))

    def _switch(self, line: int) -> Statement:
        self.next()
        value, cases = self.condition(), []
        self.expect("{")
        while not self.accept("}"):
            labels = None
            if not self.accept("default"):
                self.expect("case")
                labels = self.listed(self.expression)
            self.accept(":")
            cases.append((labels, self.body()))
        return Statement(line, "switch", (value, cases))

    def condition(self) -> Evaluate:
        self.expect("(")
        found = self.expression()
        self.expect(")")
        return found
