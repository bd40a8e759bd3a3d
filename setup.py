"""Packaging of voipcluster; build system and tools are configured in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

setup(
    name="voipcluster",
    version="0.1.0",
    description="A VoIP cluster of SIP proxies, registrars and RTP relays that balance themselves",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=[*find_packages(include=["voipcluster", "voipcluster.*"]), "twisted.plugins"],
    package_data={
        "voipcluster": ["py.typed"],
        "voipcluster.web": ["static/*", "static/uplot/*"],
        "twisted.plugins": ["voipcluster_plugin.py"],
    },
    include_package_data=False,
    zip_safe=False,
    install_requires=[
        "twisted[tls,websocket]>=26.4",
        "pyopenssl>=24",
        "service-identity>=23",
        "cryptography>=42",
        "attrs>=23.1",
        "cattrs>=24.1",  # classes to JSON and back, for the journal of calls
        "zope.interface>=6",
        "sqlalchemy>=2.0",
        "alembic>=1.14",  # what the next release changes in the tables
        "prometheus-client>=0.20",
        "shtab>=1.6",  # voipctl completion
    ],
    extras_require={
        "dev": [
            "psycopg[binary]>=3.2",
            "pymysql>=1.1",
            "mypy",
            "mypy-zope",
            "ruff",
            "import-linter",
            "hypothesis",
            "build",
            "setuptools>=70.1",  # for the test that installs from a folder of wheels
            "packaging",
            "matplotlib>=3.8",
        ],
        "docs": [  # script/docs; pinned, for what one release warns of another one does not
            "sphinx==9.0.4",
            "myst-parser==5.2.0",
            "furo==2025.12.19",
            "pydoctor==25.10.1",
        ],
        "postgresql": ["psycopg[binary]>=3.2"],  # database.url = "postgresql://..."
        "mysql": ["pymysql>=1.1"],  # voipctl import --subscriber mysql://...
        "plot": ["matplotlib>=3.8"],  # python -m voipcluster.simulate --plot
        "fuzz": ["atheris>=3.0"],  # bench/fuzz; for itself, since not every Python has a build of it
    },
    entry_points={"console_scripts": ["voipctl=voipcluster.voipctl:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Framework :: Twisted",
        "Intended Audience :: Telecommunications Industry",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Topic :: Communications :: Internet Phone",
        "Typing :: Typed",
    ],
)
