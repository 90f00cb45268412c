"""Metadata of tfzoo; tools are configured in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
version = re.search(r'__version__ = "(.+)"', (here / "tfzoo" / "__init__.py").read_text())[1]
recipes = [f"tfzoo.configs.{p.name}" for p in sorted((here / "configs").iterdir()) if p.is_dir()]

extras = {
    # tf-agents itself is installed by `pip install --no-deps tf-agents==0.19.0`: its pins are stale
    "rl": [
        "gymnasium[mujoco]>=1.2",
        "minari[arrow,hdf5]>=0.5.3",
        "gin-config>=0.5",
        "gym==0.23.0",
        "cloudpickle",
        "pillow",
    ],
    "serve": [
        "tensorflow-serving-api>=2.21",
        "grpcio>=1.72.1",
        "grpcio-health-checking>=1.72.1",
        "grpcio-reflection>=1.72.1",
        "prometheus-client>=0.21",
        "waitress>=3.0",
    ],
    "plot": ["matplotlib>=3.9"],
    "search": ["cma>=4"],  # CMA-ES, which MetricOpt's study compares with
    "mesh": ["trimesh>=4.4", "scikit-image>=0.24", "pillow"],
    "capture": ["opencv-python-headless>=4.10.0.84"],  # undistorts photographs
    "video": ["av>=15"],
    "onnx": ["tf2onnx>=1.17", "onnx>=1.17", "onnxruntime>=1.20"],
    "jax": ["jax>=0.6"],
    "docs": [
        "mkdocs>=1.6,<2",
        "mkdocs-material>=9.6",
        "mkdocstrings[python]>=1.0",
        "selenium>=4.30",  # opens the site in a browser: tests/test_browser.py
    ],
    "test": ["hypothesis>=6.100", "mypy>=2.4", "pytest>=8", "pytest-xdist>=3.5", "ruff>=0.14"],
}
extras["all"] = sorted({package for packages in extras.values() for package in packages})
extras["peers"] = ["torch>=2.4", "torchvision>=0.19"]  # what benches compare with
extras["fuzz"] = ["atheris>=3"]  # Linux only; tests/reliability/coverage_fuzz.py

setup(
    name="tfzoo",
    version=version,
    description="Ten published methods in TensorFlow and Keras 3, as one library",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    classifiers=[
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    packages=[*find_packages(include=["tfzoo", "tfzoo.*", "tfzoo_cli"]), "tfzoo.configs", *recipes],
    package_dir={"tfzoo.configs": "configs"},
    package_data={
        "tfzoo": ["*/README.md", "py.typed", "weights/*"],
        "tfzoo_cli": ["py.typed"],
        "tfzoo.configs": ["*.yaml"],
        **{name: ["*.yaml"] for name in recipes},
    },
    entry_points={"console_scripts": ["tfzoo = tfzoo_cli.main:main"]},
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "keras>=3.15,<4",  # older ones do not read initializers in files of 3.15
        "tensorflow-probability>=0.25",
        "tf-keras>=2.21,<2.22",  # TFP imports it; tfzoo does not
        "tensorflow-datasets>=4.9.9",
        "importlib_resources",  # TFDS imports it without saying so
        "tensorboard>=2.20",
        "annotated-types>=0.7",
        "typing_extensions>=4.9",
        "omegaconf>=2.4,<3",
        "pyyaml>=6.0.1",
        "rich>=13",
        "scikit-learn>=1.5",
        "numpy>=2.0",
        "psutil>=5.9",
        "filelock>=3.20",
        "orjson>=3.10",
        *extras["serve"],  # `tfzoo demo` serves what it trained
    ],
    extras_require=extras,
)
