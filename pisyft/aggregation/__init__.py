"""Sums that nobody can take apart: what a round needs, as pure state machines on NumPy.

`agreement` says what everybody agrees on and what a Pi refuses, `fixed_point` turns numbers into ring elements, and
`additive`, `masks` and `plain` are the protocols, behind the interface in `protocol`. `pointers` is the notebooks' way,
with PySyft's own tensors. None but that one knows of PySyft, PyTorch or sockets.
"""
