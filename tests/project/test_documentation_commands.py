"""The commands, settings and workflows that README and docs show are those that exist."""

from __future__ import annotations

import argparse
import configparser
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.documentation import CHECKOUT, PAGES, Block, blocks, named

MAKEFILE = (CHECKOUT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
DISTRIBUTION = "airflow-provider-gptimg"
AIRFLOW = importlib.metadata.version("apache-airflow")
COMMAND = re.compile(r"`((?:\w+=\S+ )?(?:make|pip install|gptimg-emulator|airflow [a-z]+ [a-z]+) [^`]+)`")
ASSIGNMENT = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)", re.DOTALL)


@cache
def airflow_parser() -> argparse.ArgumentParser:
    from airflow.cli.cli_parser import get_parser

    return get_parser()


def takes_commands_of_providers() -> bool:
    """Return whether Airflow's command line has those of providers (3.2 and later)."""
    from airflow.providers_manager import ProvidersManager

    return hasattr(ProvidersManager, "cli_command_functions")


def is_setting(section: str, option: str) -> bool:
    """Return whether Airflow has an option."""
    from airflow.configuration import conf

    return option.lower() in conf.configuration_description[section.lower()]["options"]


def said_by_shell(text: str) -> str:
    """Return what a shell makes of a word, without the variables that were set before."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-c", f'printf %s "{text}"']
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "PATH": programs, "RAW": ""}
    ).stdout


class Commands:
    """Checks command lines, each without running what it would change."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._programs: dict[str, Callable[[list[str]], None]] = {
            "airflow": self._airflow,
            "curl": self._curl,
            "export": self._export,
            "gptimg-emulator": self._emulator,
            "make": self._make,
            "pip": self._pip,
            "pytest": self._nothing,
            "python": self._python,
        }

    def check(self, line: str) -> None:
        words = shlex.split(line)
        while words and (found := ASSIGNMENT.fullmatch(words[0])):
            self._variable(found[1], found[2])
            words.pop(0)
        if words:
            assert words[0] in self._programs, f"nobody checks {words[0]}"
            self._programs[words[0]](words[1:])

    def _export(self, words: list[str]) -> None:
        for word in words:
            found = ASSIGNMENT.fullmatch(word)
            assert found, word
            self._variable(found[1], found[2])

    def _nothing(self, words: list[str]) -> None:
        assert words == []

    def _airflow(self, words: list[str]) -> None:
        if words[0] == "gptimg" and not takes_commands_of_providers():
            self._python(["-m", "airflow_provider_gptimg.cli", *words[1:]])
            return
        options = airflow_parser().parse_args(words)
        if extra := getattr(options, "conn_extra", None):
            json.loads(extra)

    def _emulator(self, words: list[str]) -> None:
        from airflow_provider_gptimg.emulator.__main__ import _parser

        _parser().parse_args(words)

    def _python(self, words: list[str]) -> None:
        from airflow_provider_gptimg.cli.__main__ import command_parser

        assert words[:2] == ["-m", "airflow_provider_gptimg.cli"]
        command_parser().parse_args(words[2:])

    def _make(self, words: list[str]) -> None:
        for word in words:
            assert word in TARGETS or (
                ASSIGNMENT.fullmatch(word) and f"$({word.split('=')[0]})" in MAKEFILE
            ), word

    def _pip(self, words: list[str]) -> None:
        assert words.pop(0) == "install"
        if "--constraint" in words:
            at = words.index("--constraint")
            file = f"/constraints-{AIRFLOW}/constraints-{sys.version_info[0]}.{sys.version_info[1]}.txt"
            assert said_by_shell(words.pop(at + 1)) == file
            words.pop(at)
        for word in words:
            if word == "apache-airflow==$(airflow version)":  # which stays what it is
                continue
            found = re.fullmatch(r"([a-z0-9-]+)(?:\[([a-z0-9,]+)\])?", word)
            assert found, word
            extras = set(found[2].split(",")) if found[2] else set()
            assert extras <= offered(found[1]), word

    def _curl(self, words: list[str]) -> None:
        parser = argparse.ArgumentParser()
        parser.add_argument("url")
        parser.add_argument("-X", default="GET")
        parser.add_argument("-d")
        call = parser.parse_args(words)
        url = re.sub(r"^http://127\.0\.0\.1:\d+", self._service, call.url)
        httpx.request(call.X, url, content=call.d, trust_env=False).raise_for_status()

    def _variable(self, name: str, value: str) -> None:
        if name.startswith("AIRFLOW_CONN_"):
            self._connection(name, value)
        elif name.startswith("AIRFLOW__"):
            _, section, option = name.split("__")
            assert is_setting(section, option), name
        else:
            assert name in ("AIRFLOW_HOME", "GPTIMG_API_KEY", "RAW"), name

    def _connection(self, name: str, value: str) -> None:
        from airflow_provider_gptimg.hooks.gptimg import GptImgHook

        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(name, value.replace("…", "key"))
            hook = GptImgHook(name.removeprefix("AIRFLOW_CONN_").lower())
            assert hook.settings.api_key == "sk-key"
            assert hook.settings.base_url == "https://toapis.com"


def offered(distribution: str) -> set[str]:
    """Return the extras of a distribution; anything of one that is not installed, and so cannot be asked."""
    try:
        return set(importlib.metadata.metadata(distribution).get_all("Provides-Extra") or ())
    except importlib.metadata.PackageNotFoundError:
        assert distribution != DISTRIBUTION
        return {"s3fs", "socks"}


@pytest.fixture
def commands(gptimg_emulator: Any) -> Commands:
    return Commands(gptimg_emulator.base_url)


@pytest.mark.parametrize("block", blocks("console"), ids=str)
def test_commands_are_those_that_exist(block: Block, commands: Commands) -> None:
    lines = block.text.splitlines()
    typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    assert typed
    for line in typed:
        commands.check(line)
    for said in (line for line in lines if not line.startswith("$ ")):
        assert re.fullmatch(r"listening on http://127\.0\.0\.1:\d+", said), said


@pytest.mark.parametrize("line", ["make nothing", "pip install airflow-provider-gptimg[nothing]", "wget x"])
def test_a_command_that_does_not_exist_is_found(line: str, commands: Commands) -> None:
    with pytest.raises(AssertionError):
        commands.check(line)


@pytest.mark.parametrize("line", ["airflow nothing", "gptimg-emulator --nothing"])
def test_an_option_that_does_not_exist_is_found(line: str, commands: Commands) -> None:
    with pytest.raises(SystemExit):
        commands.check(line)


def inline_commands() -> list[Any]:
    """Return what stands in the text as a command, between backticks."""
    found = []
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        lines = sorted(set(COMMAND.findall(text)))
        found += [pytest.param(line, id=f"{named(page)}: {line}") for line in lines if "[--" not in line]
    return found


@pytest.mark.parametrize("line", inline_commands())
def test_commands_in_the_text_are_those_that_exist(line: str, commands: Commands) -> None:
    commands.check(line)


@pytest.mark.parametrize("block", [block for block in blocks("yaml") if "jobs:" in block.text], ids=str)
def test_a_workflow_runs_commands_that_exist(block: Block, commands: Commands) -> None:
    import yaml

    workflow = yaml.safe_load(block.text)
    for job in workflow["jobs"].values():
        for name, value in job.get("env", {}).items():
            assert isinstance(value, str)
            commands.check(f"{name}={shlex.quote(value)}")
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            if "run" in step:
                commands.check(step["run"])


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_settings_of_pytest_are_its_settings(block: Block, pytestconfig: pytest.Config) -> None:
    tomllib = pytest.importorskip("tomllib", reason="part of Python from 3.11 on")
    settings = tomllib.loads(block.text)["tool"]["pytest"]["ini_options"]
    assert settings
    for name in settings:
        pytestconfig.getini(name)


@pytest.mark.parametrize("block", blocks("ini"), ids=str)
def test_settings_of_airflow_are_its_settings(block: Block) -> None:
    settings = configparser.ConfigParser()
    settings.read_string(block.text)
    for section in settings.sections():
        for option in settings[section]:
            assert is_setting(section, option), option


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_settings_of_airflow_that_are_named_exist(page: Any) -> None:
    for section, option in re.findall(r"AIRFLOW__([A-Z]+)__([A-Z_]+)", page.read_text()):
        assert is_setting(section, option), option
    for section, option in re.findall(r"`\[(\w+)\] (\w+)`", page.read_text()):
        assert is_setting(section, option), option
