"""Builds the package from settings.ini, the one place for its description and requirements."""

import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
parser = ConfigParser(delimiters=["="])
parser.read(here / "settings.ini", encoding="utf-8")
settings = parser["DEFAULT"]
source = (here / settings["lib_path"] / "__init__.py").read_text(encoding="utf-8")
version = re.search(r'__version__ = "(.+?)"', source)
if version is None:
    raise SystemExit(f'{settings["lib_path"]}/__init__.py has no line __version__ = "…".')

setup(
    version=version[1],
    description=settings["description"],
    author=settings["author"],
    author_email=settings["author_email"],
    license=settings["license"],
    keywords=settings["keywords"],
    install_requires=settings["requirements"].split(),
    extras_require={"test": settings["test_requirements"].split()},
    packages=find_packages(include=[settings["lib_path"], f"{settings['lib_path']}.*"]),
    package_data={"ml_workflow.report": ["*.html"]},
    entry_points={"console_scripts": settings["console_scripts"].strip().splitlines()},
)
