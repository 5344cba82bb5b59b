"""Error answers: the usual code, type and message of every status (contract: Errors)."""

# ruff: noqa: RUF001 - Chinese has its own commas

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from airflow_provider_gptimg.emulator.shapes import Shape

_USUAL: dict[int, tuple[str, str]] = {
    400: ("invalid_request", "The request is invalid."),
    401: ("unauthorized", "The API key is missing or wrong."),
    402: ("insufficient_quota", "The balance is not sufficient."),
    403: ("forbidden", "This is not allowed."),
    404: ("not_found", "Nothing was found here."),
    405: ("method_not_allowed", "This path does not support this method."),
    410: ("expired", "This is no longer available."),
    413: ("request_too_large", "The request body is too large."),
    415: ("unsupported_media_type", "The content type is not supported."),
    422: ("content_policy_violation", "The content was refused."),
    429: ("rate_limit_exceeded", "Too many requests, slow down."),
    500: ("internal_error", "Something went wrong."),
    503: ("rate_limit_unavailable", "The service is temporarily unavailable."),
}

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}

CHINESE = {
    "invalid_request": "请求参数无效",
    "invalid_reference_images": "参考图片无效，仅支持 http:// 或 https:// 链接",
    "unauthorized": "无效的令牌",
    "insufficient_quota": "账户余额不足",
    "forbidden": "无权访问",
    "not_found": "资源不存在",
    "task_not_found": "任务不存在",
    "task_not_exist": "任务不存在",
    "method_not_allowed": "不支持的请求方法",
    "expired": "资源已过期",
    "request_too_large": "请求体过大",
    "unsupported_media_type": "不支持的内容类型",
    "content_policy_violation": "内容违反安全策略",
    "rate_limit_exceeded": "请求过于频繁，请稍后重试",
    "internal_error": "服务器内部错误",
    "rate_limit_unavailable": "服务暂时不可用，请稍后重试",
    "model_not_found": "当前分组下该模型无可用渠道",
    "generation_failed": "图片生成失败，费用已退还",
}
"""The message of each code in Chinese, for an account that answers in Chinese."""


class ApiError(Exception):
    """An error answer of the service.

    :param status: The HTTP status.
    :param code: The error's name; default: the usual one of ``status``.
    :param message: What is wrong, in English; default: the usual sentence of ``status``.
    :param headers: Further headers of the answer.
    :param param: The request's field that caused a 400, if there is one.
    """

    def __init__(
        self,
        status: int,
        code: str | None = None,
        message: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        param: str | None = None,
    ) -> None:
        usual_code, usual_message = _USUAL.get(status, _USUAL[500 if status >= 500 else 400])
        self.status = status
        self.code = code or usual_code
        self.message = message or usual_message
        self.headers = dict(headers or {})
        self.param = param
        super().__init__(self.message)

    def response(self, shape: Shape, *, status: int | None = None) -> JSONResponse:
        """Return the envelope ``{"error": {"code", "message", "type"}}``; a 400 also has ``param``.

        :param shape: How the account writes its answers.
        :param status: The HTTP status to send, if it is not the error's own.
        """
        error: dict[str, Any] = {
            "code": self.status if shape.numeric_codes else self.code,
            "message": CHINESE.get(self.code, self.message) if shape.chinese else self.message,
            "type": _TYPES.get(
                self.status, "server_error" if self.status >= 500 else "invalid_request_error"
            ),
        }
        if self.status == 400:
            error["param"] = self.param
        return JSONResponse({"error": error}, status or self.status, self.headers)
