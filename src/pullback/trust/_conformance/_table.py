"""All rows, in the order in which they are printed."""

import functools

from pullback.trust._conformance._case import Case
from pullback.trust._conformance._rows_arrays import rearranging_rows, reduction_rows, reshaping_rows
from pullback.trust._conformance._rows_elementary import elementary_rows
from pullback.trust._conformance._rows_elementwise import basic_rows, complex_rows, operator_rows
from pullback.trust._conformance._rows_functions import function_rows
from pullback.trust._conformance._rows_general import general_rows
from pullback.trust._conformance._rows_hermitian import hermitian_rows
from pullback.trust._conformance._rows_matrices import matrix_rows, product_rows
from pullback.trust._conformance._rows_probability import probability_rows
from pullback.trust._conformance._rows_singular import singular_rows
from pullback.trust._conformance._rows_special import special_rows
from pullback.trust._conformance._rows_states import state_rows


@functools.cache
def cases() -> tuple[Case, ...]:
    """All rows of the table: pullback's own primitives, then what is plain JAX."""
    return (
        *hermitian_rows(),
        *singular_rows(),
        *state_rows(),
        *function_rows(),
        *general_rows(),
        *elementary_rows(),
        *special_rows(),
        *operator_rows(),
        *basic_rows(),
        *complex_rows(),
        *reduction_rows(),
        *reshaping_rows(),
        *product_rows(),
        *matrix_rows(),
        *rearranging_rows(),
        *probability_rows(),
    )
