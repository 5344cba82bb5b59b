"""The recipe for KubernetesExecutor: its template makes the pods, and its image has all that they import."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.documentation import DOCS, blocks

kubernetes = pytest.importorskip(
    "airflow.providers.cncf.kubernetes.pod_generator", reason="The provider for Kubernetes is not installed"
)

RECIPES = DOCS / "recipes.md"

WHAT_A_POD_IMPORTS = """
import importlib, json, pkgutil, sys
from importlib.metadata import packages_distributions

in_image = set(json.loads(sys.argv[1]))
absent = {top for top, owners in packages_distributions().items()
          if not {owner.lower().replace("_", "-").replace(".", "-") for owner in owners} & in_image}

class NotInTheImage:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"{name} is not in the image", name=name)

sys.meta_path.insert(0, NotInTheImage())
import airflow_provider_gptimg, PIL.Image
from airflow.sdk import ObjectStoragePath
import airflow.sdk.execution_time.execute_workload

for room in ("decorators", "files", "hooks", "operators", "sensors", "triggers"):
    package = importlib.import_module(f"airflow_provider_gptimg.{room}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
assert ObjectStoragePath("s3://pictures/cover.png").fs
print("all there")
"""


def text_of(language: str) -> str:
    (found,) = [block.text for block in blocks(language) if block.page == RECIPES]
    return found


def installed_with(*requirements: str) -> set[str]:
    """Return the distributions that come with these, from what each says that it needs."""
    found: set[tuple[str, str]] = set()

    def add(requirement: Requirement) -> None:
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in found:
                continue
            try:
                needs = distribution(name).requires or []
            except PackageNotFoundError:  # needed on another platform
                return
            found.add((name, extra))
            for line in needs:
                needed = Requirement(line)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    add(needed)

    for requirement in requirements:
        add(Requirement(requirement))
    return {name for name, _ in found}


def pod_with(*requirements: str) -> subprocess.CompletedProcess[str]:
    """Import what a pod imports where only what comes with these can be imported."""
    in_image = json.dumps(sorted(installed_with(*requirements)))
    return subprocess.run(
        [sys.executable, "-c", WHAT_A_POD_IMPORTS, in_image], check=False, capture_output=True, text=True
    )


def test_the_image_has_everything_that_a_pod_imports() -> None:
    requirements = re.findall(r'"([^"]+)"', text_of("dockerfile"))
    pod = pod_with(*requirements)
    assert pod.stdout.endswith("all there\n"), pod.stderr
    without_s3 = pod_with(*(name for name in requirements if "amazon" not in name))
    assert "s3" in without_s3.stderr.splitlines()[-1]


def test_a_pod_is_the_template_with_the_task() -> None:
    generator: Any = kubernetes.PodGenerator
    template = generator.deserialize_model_dict(yaml.safe_load(text_of("yaml")))
    pod = generator.construct_pod(
        dag_id="covers",
        task_id="cover",
        pod_id="covers-cover",
        try_number=1,
        kube_image=None,  # [kubernetes_executor] worker_container_repository is not set
        date=None,
        args=["python", "-m", "airflow.sdk.execution_time.execute_workload"],
        pod_override_object=None,
        base_worker_pod=template,
        namespace="airflow",
        scheduler_job_id="1",
        run_id="first",
    )
    (container,) = pod.spec.containers
    assert container.image == "registry.example/airflow-gptimg:3.3.2"
    assert container.args == ["python", "-m", "airflow.sdk.execution_time.execute_workload"]
    names = {variable.name: variable for variable in container.env}
    assert names["AIRFLOW_CONN_GPTIMG_DEFAULT"].value_from.secret_key_ref.name == "gptimg"
    assert pod.spec.restart_policy == "Never"
