"""What type checkers see of a task's output; at run time it is Airflow's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk.definitions.xcom_arg import PlainXComArg

    class KeyedOperator(BaseOperator):
        """An operator whose ``output`` may be asked for a key, as in ``card.output["urls"]``.

        Airflow declares the output of an operator as an ``XComArg``, which has no keys for type checkers.
        """

        @property
        def output(self) -> PlainXComArg:
            """What the task hands downstream."""
            ...

else:
    KeyedOperator = BaseOperator
