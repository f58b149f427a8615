"""Facts about operators that a function cannot show by itself.

The tags are lineax's, so that a tagged operator means the same to lineax's solvers and to ours; `hermitian`
is ours (lineax's `symmetric_tag` is about the plain transpose).
"""

import lineax as lx

symmetric = lx.symmetric_tag
positive_definite = lx.positive_semidefinite_tag
diagonal = lx.diagonal_tag
tridiagonal = lx.tridiagonal_tag


class _Tag:
    def __init__(self, name: str):
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def __reduce__(self) -> str:  # by name: tags are compared by identity, and a copy is the tag itself
        return self._name


hermitian = _Tag("hermitian")


@lx.transpose_tags_rules.append
def _(tags):
    return hermitian if hermitian in tags else None
