"""Why a request is not answered, in gRPC's codes, which TF Serving uses for both protocols."""

from __future__ import annotations

import grpc
import tensorflow as tf

CODES = {code.value[0]: code for code in grpc.StatusCode}


class RefusalError(Exception):
    """A request that is not answered: the code tells whose fault it is, the message what to do."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def invalid(message: str) -> RefusalError:
    """What the client sent cannot be answered."""
    return RefusalError(grpc.StatusCode.INVALID_ARGUMENT, message)


def as_refusal(error: Exception) -> RefusalError:
    """Any error as a refusal; TensorFlow's errors carry gRPC's codes."""
    if isinstance(error, RefusalError):
        return error
    if isinstance(error, tf.errors.OpError):
        code = CODES.get(error.error_code, grpc.StatusCode.INTERNAL)
        return RefusalError(code, error.message.split("[Op:")[0].strip())
    return RefusalError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
