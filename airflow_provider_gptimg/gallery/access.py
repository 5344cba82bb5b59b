"""Access rights: Airflow's auth manager decides, through the dependencies of Airflow's own routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, HTTPException, Request

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

# The same names from Airflow 3.1 to 3.3. Pictures need the XCom right, because they come from XComs.
MAY_SEE_TASK = [
    Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE)),
    Depends(requires_access_dag("GET", DagAccessEntity.XCOM)),
]
"""Dependencies of a route with ``dag_id`` in its path: 401 without a user, 403 without the right."""

_CHECKS = [
    requires_access_dag("GET", entity) for entity in (DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM)
]


class Viewer:
    """The user of a request, for pages over several DAGs."""

    def __init__(self, request: Request, user: BaseUser) -> None:
        self._request, self._user = request, user

    def readable_dags(self) -> set[str]:
        """Return the DAGs that the user may read."""
        return get_auth_manager().get_authorized_dag_ids(user=self._user, method="GET")

    def may_see(self, dag_id: str) -> bool:
        """Return whether the user may see the task instances and XComs of a DAG."""
        # The same check as a route's, which finds the DAG in the path.
        scope = {**self._request.scope, "path_params": {"dag_id": dag_id}}
        try:
            for check in _CHECKS:
                check(Request(scope), self._user)
        except HTTPException:
            return False
        return True


def viewer(request: Request, user: GetUserDep) -> Viewer:
    """Return the user of the request. A route dependency: it answers 401 if nobody is logged in."""
    return Viewer(request, user)
