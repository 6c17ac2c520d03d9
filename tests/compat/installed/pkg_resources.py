"""Stands for an installed setuptools of before release 82, for the check of `packaging_modules_done`."""
